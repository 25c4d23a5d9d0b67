//! The origin of a web page, `scheme://host[:port]`, as browsers and settings write it.
//!
//! Different spellings of an origin compare equal: letters are made lower case, and the default
//! port of `http` and `https` is removed. A path, a user or a wildcard is not part of an origin.

use std::fmt;

/// The origin of a web page, in its normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin(String);

impl Origin {
    /// Parses `scheme://host[:port]`. Returns `None` for anything else, including the `null` that a
    /// browser sends for a page without an origin.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (scheme, address) = text.split_once("://")?;
        let (host, port) = match address.rsplit_once(':') {
            // The colons of an IPv6 address are in brackets.
            Some((host, port)) if !port.ends_with(']') => (host, Some(parse_port(port)?)),
            _ => (address, None),
        };
        if !is_scheme(scheme) || !is_host(host) {
            return None;
        }
        Some(match port.filter(|port| default_port(scheme) != Some(*port)) {
            Some(port) => Self(format!("{scheme}://{host}:{port}")),
            None => Self(format!("{scheme}://{host}")),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_an_origin_have_one_normal_form() {
        let table = [
            ("https://shop.example", "https://shop.example"),
            ("HTTPS://Shop.Example", "https://shop.example"),
            ("https://shop.example:443", "https://shop.example"),
            ("http://shop.example:80", "http://shop.example"),
            ("http://shop.example:443", "http://shop.example:443"),
            ("https://shop.example:8443", "https://shop.example:8443"),
            ("http://localhost:8000", "http://localhost:8000"),
            ("http://127.0.0.1", "http://127.0.0.1"),
            ("http://[::1]:80", "http://[::1]"),
            ("http://[::1]:8000", "http://[::1]:8000"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ];

        for (text, normal) in table {
            assert_eq!(Origin::parse(text).map(|origin| origin.to_string()).as_deref(), Some(normal), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_exactly_an_origin() {
        let texts = [
            "",
            "null",
            "*",
            "shop.example",
            "shop.example:443",
            "//shop.example",
            "https:shop.example",
            "https://",
            "https://:443",
            "https://shop.example/",
            "https://shop.example/path",
            "https://shop.example?query",
            "https://shop.example#fragment",
            "https://user@shop.example",
            "https://*.shop.example",
            "https://shop.example:",
            "https://shop.example:0",
            "https://shop.example:+80",
            "https://shop.example:65536",
            "https://shop.example:80:80",
            "https://::1",
            "https://[::1",
            "https://[shop]",
            "https://b\u{fc}cher.example",
            " https://shop.example",
            "https://shop.example https://other.example",
            "9p://shop.example",
        ];

        for text in texts {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }
}
