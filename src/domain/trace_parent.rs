//! The position of a request in a distributed trace.

use std::{fmt, str::FromStr};

/// A position in a distributed trace: the value of the header `traceparent` as
/// [W3C Trace Context](https://www.w3.org/TR/trace-context/) defines it, such as
/// `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`.
///
/// ```
/// use rocket_batch::TraceParent;
///
/// let position: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
/// assert_eq!(position.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(position.span_id(), "00f067aa0ba902b7");
/// assert!(position.is_sampled());
/// # Ok::<_, rocket_batch::InvalidTraceParent>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceParent(Box<str>);

/// A text is not the value of a header `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a `traceparent` of W3C Trace Context, such as 00-<32 hex digits>-<16 hex digits>-<2 hex digits>")]
pub struct InvalidTraceParent;

/// The length of a value of version 00, in bytes.
const LENGTH: usize = 55;

impl TraceParent {
    /// Returns the id of the trace: 32 hex digits in lower case, not all of them zero.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.part(3, 35)
    }

    /// Returns the id of the span: 16 hex digits in lower case, not all of them zero.
    #[must_use]
    pub fn span_id(&self) -> &str {
        self.part(36, 52)
    }

    /// Returns whether the caller may have recorded the trace.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.part(53, LENGTH) == "01"
    }

    /// Returns the whole value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn part(&self, from: usize, to: usize) -> &str {
        self.0.get(from..to).unwrap_or_default()
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    /// Reads the value of a header. A value of a later version is read as far as version 00 defines
    /// it, and all flags but `sampled` are left out.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.trim().split('-');
        let mut next = |length| parts.next().filter(|part| is_hex(part, length)).ok_or(InvalidTraceParent);
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let has_more = parts.next().is_some();
        let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
        if version == "ff" || (version == "00" && has_more) || is_zero(trace) || is_zero(span) {
            return Err(InvalidTraceParent);
        }
        let is_sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
        Ok(Self(format!("00-{trace}-{span}-0{}", u8::from(is_sampled)).into()))
    }
}

fn is_hex(part: &str, length: usize) -> bool {
    part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn reads_what_the_standard_allows() {
        let table = [
            (format!("00-{TRACE}-{SPAN}-01"), "01"),
            (format!(" 00-{TRACE}-{SPAN}-00 "), "00"),
            (format!("00-{TRACE}-{SPAN}-ff"), "01"),
            (format!("00-{TRACE}-{SPAN}-02"), "00"),
            (format!("01-{TRACE}-{SPAN}-01"), "01"),
            (format!("cc-{TRACE}-{SPAN}-01-what-comes-later"), "01"),
        ];

        for (text, flags) in table {
            let read: TraceParent = text.parse().unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(read.as_str(), format!("00-{TRACE}-{SPAN}-{flags}"));
            assert_eq!((read.trace_id(), read.span_id(), read.is_sampled()), (TRACE, SPAN, flags == "01"));
            assert_eq!(read.to_string().parse(), Ok(read));
        }
    }

    #[test]
    fn refuses_everything_else() {
        let (zeros, upper) = ("0".repeat(32), TRACE.to_uppercase());
        let table = [
            String::new(),
            "00".to_owned(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{upper}-{SPAN}-01"),
            format!("00-{}é-{SPAN}-01", &TRACE[2..]),
            format!("00_{TRACE}_{SPAN}_01"),
        ];

        for text in table {
            assert_eq!(text.parse::<TraceParent>(), Err(InvalidTraceParent), "{text}");
        }
    }
}
