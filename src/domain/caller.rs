//! Who asks for a change.

use std::net::IpAddr;

use super::trace_parent::TraceParent;

/// Who asks for a change of a batch, as the [audit](super::AuditEntry) records it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The name of the caller; `None` if it is unknown. Not empty, at most
    /// [`MAX_ACTOR`](Self::MAX_ACTOR) characters, none of which is a control character.
    actor: Option<String>,
    /// The address of the caller, if the host has it recorded.
    address: Option<IpAddr>,
    /// Where the request stands in a distributed trace, if it says so.
    trace: Option<TraceParent>,
}

impl Caller {
    /// The longest name, in characters.
    pub const MAX_ACTOR: usize = 255;
    /// What stands for the name of an unknown caller.
    pub const UNKNOWN: &str = "unknown";

    /// A caller with this name. Control characters are removed, a longer name is cut, and an empty
    /// one is unknown.
    #[must_use]
    pub fn named(name: Option<&str>) -> Self {
        let clean = |name: &str| name.chars().filter(|char| !char.is_control()).take(Self::MAX_ACTOR).collect();
        let actor = name.map(clean).filter(|name: &String| !name.is_empty());
        Self { actor, address: None, trace: None }
    }

    /// The same caller, at `address`.
    #[must_use]
    pub fn at(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// The same caller, in the trace at `trace`.
    #[must_use]
    pub fn in_trace(self, trace: Option<TraceParent>) -> Self {
        Self { trace, ..self }
    }

    /// Returns the name, if it is known.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.actor.as_deref()
    }

    /// Returns the address, if it is recorded.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Returns where the request stands in a distributed trace.
    #[must_use]
    pub const fn trace(&self) -> Option<&TraceParent> {
        self.trace.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_has_no_control_characters() {
        let long = "ü".repeat(300);
        let table = [
            (Some("ann"), Some("ann")),
            (Some("a\u{0}n\nn\u{7f}\u{85}"), Some("ann")),
            (Some(""), None),
            (Some("\r\n"), None),
            (None, None),
            (Some(&*long), Some(&long[..2 * 255])),
        ];

        for (name, expected) in table {
            assert_eq!(Caller::named(name).actor(), expected, "{name:?}");
        }
    }

    #[test]
    fn an_address_is_kept_beside_the_name() {
        let address = Some(IpAddr::from([192, 0, 2, 7]));
        let caller = Caller::named(Some("ann")).at(address);

        assert_eq!((caller.actor(), caller.address()), (Some("ann"), address));
        assert_eq!(Caller::default(), Caller::named(None));
    }
}
