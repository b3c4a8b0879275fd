//! The header `traceparent` of W3C Trace Context: the trace that a request belongs to, and the span that sent it.

use std::fmt;

/// The flag of a trace that is kept.
const SAMPLED: u8 = 1;

/// A place in a trace: what a caller sends as `traceparent`, and what the queue keeps with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: u128,
    /// The span in it.
    pub span: u64,
    /// True if the spans of the trace are kept.
    pub is_sampled: bool,
}

impl TraceParent {
    /// Reads the text of the header; None if it has another form. Versions to come may add fields at the end.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut fields = text.splitn(5, '-');
        let version = hexadecimal(fields.next()?, 2)?;
        let trace = hexadecimal(fields.next()?, 32)?;
        let span = u64::try_from(hexadecimal(fields.next()?, 16)?).ok()?;
        let flags = u8::try_from(hexadecimal(fields.next()?, 2)?).ok()?;
        let is_known = version == 0 && fields.next().is_none();
        let is_newer = (1..255).contains(&version);
        let is_valid = (is_known || is_newer) && trace != 0 && span != 0;
        is_valid.then_some(Self { trace, span, is_sampled: flags & SAMPLED != 0 })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.is_sampled))
    }
}

/// Reads lower-case hexadecimal digits, of which there must be so many.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_number = text.len() == digits && text.bytes().all(is_digit);
    is_number.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::TraceParent;

    #[test]
    fn a_header_is_read_as_it_is_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = TraceParent::parse(text).unwrap();
        assert_eq!((parent.to_string().as_str(), parent.is_sampled), (text, true));
        let unsampled = text.replace("-01", "-00");
        assert!(!TraceParent::parse(&unsampled).unwrap().is_sampled);
        let newer = text.replacen("00", "cc", 1) + "-more";
        assert_eq!(TraceParent::parse(&newer), Some(parent));
    }

    #[test]
    fn another_form_is_no_trace() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for wrong in [
            String::new(),
            "00".to_string(),
            text.to_uppercase(),
            text.replacen("00", "ff", 1),
            format!("{text}-more"),
            text.replace('-', "_"),
            text.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            text.replace("00f067aa0ba902b7", &"0".repeat(16)),
            text.replace("00f067aa", "+0f067aa"),
            text.replace("00f067aa", "00f067aä"),
            text[..54].to_string(),
        ] {
            assert_eq!(TraceParent::parse(&wrong), None, "{wrong}");
        }
    }
}
