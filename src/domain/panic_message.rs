//! The message of a caught panic.

use std::any::Any;

/// Returns the text that a panic was raised with, or `without a message` if its payload is not a
/// text.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_text_of_a_literal_and_of_a_formatted_panic_only() {
        let formatted = format!("{} is odd", 7);
        let table: [(Box<dyn Any + Send>, &str); 3] =
            [(Box::new("odd"), "odd"), (Box::new(formatted), "7 is odd"), (Box::new(7), "without a message")];

        for (panic, message) in &table {
            assert_eq!(panic_message(&**panic), *message);
        }
    }
}
