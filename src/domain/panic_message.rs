//! The message of a panic.

use std::any::Any;

/// Returns the message of a caught panic, or "without a message" when its payload is not a text.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_text_of_either_type_or_a_substitute() {
        assert_eq!(panic_message(&"boom"), "boom");
        assert_eq!(panic_message(&String::from("boom 7")), "boom 7");
        assert_eq!(panic_message(&7), "without a message");
    }
}
