//! Keeps passwords of the command line out of the list of processes.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};

use crate::target::password;

/// Writes over the passwords in the arguments that the system shows to everybody. Where that cannot
/// be done, they stay; docs/configuration.md names ways that need no such thing.
pub(super) fn hide() {
    let _ = written_over();
}

/// A text without the passwords of the URLs in it.
pub(super) fn hidden(text: &str) -> String {
    let mut text = text.to_string();
    while let Some(found) = password(&text) {
        text.replace_range(found, "xxx");
    }
    text
}

fn written_over() -> Option<()> {
    let [start, end] = argument_range()?;
    let mut memory = OpenOptions::new().read(true).write(true).open("/proc/self/mem").ok()?;
    let mut bytes = vec![0; usize::try_from(end.checked_sub(start)?).ok()?];
    memory.seek(SeekFrom::Start(start)).ok()?;
    memory.read_exact(&mut bytes).ok()?;
    let mut at = start;
    for argument in bytes.split(|byte| *byte == 0) {
        if let Some(found) = std::str::from_utf8(argument).ok().and_then(password) {
            memory.seek(SeekFrom::Start(at + found.start as u64)).ok()?;
            memory.write_all(&vec![b'x'; found.len()]).ok()?;
        }
        at += argument.len() as u64 + 1;
    }
    Some(())
}

/// Where the arguments of this process lie in its memory.
fn argument_range() -> Option<[u64; 2]> {
    let mut text = String::new();
    File::open("/proc/self/stat").ok()?.read_to_string(&mut text).ok()?;
    // The name stands in brackets and may hold anything; the fields behind it begin with the third.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse().ok();
    Some([field(48)?, field(49)?])
}
