//! Bounds on what a user gives, each with its name: what goes past one is refused in a sentence, before it takes
//! the stack, the memory or the time of everything else.

use crate::error::{Error, Result, grouped};

/// Steps of a template: tags, filters and turns of loops.
pub const TEMPLATE_STEPS: u64 = 2_000_000;

/// Bytes of a statement, templates rendered.
pub const STATEMENT_BYTES: usize = 16 << 20;

/// Operators within one expression: `a + b + c` has two. Plans of long chains are walked recursively, and the time to
/// plan them grows with the square.
pub const EXPRESSION_OPERATORS: usize = 1_000;

/// Tables and queries that a statement puts together by JOIN, UNION, EXCEPT and INTERSECT.
pub const STATEMENT_PARTS: usize = 500;

/// Refuses a statement that is too long.
///
/// # Errors
/// Its length, and the bound.
pub fn check_statement(text: &str) -> Result<()> {
    if text.len() <= STATEMENT_BYTES {
        return Ok(());
    }
    let (length, most) = (grouped(text.len() as u64), grouped(STATEMENT_BYTES as u64));
    Err(Error::query(format!("the statement has {length} bytes, past the limit of {most}"))
        .hint("put values into a source, and read it"))
}
