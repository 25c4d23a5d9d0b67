//! A request that is out of its limits: one wrong field, or all of them.

use std::{fmt, iter};

/// A request that was rejected, by the field that is wrong. The message names the field, the limit
/// and the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {why}")]
#[non_exhaustive]
pub struct Invalid {
    /// The field, spelled as in the JSON of a request.
    pub field: &'static str,
    /// What is wrong with it, with the limit.
    pub why: String,
}

impl Invalid {
    /// Names a field and what is wrong with it.
    pub fn new(field: &'static str, why: impl Into<String>) -> Self {
        Self { field, why: why.into() }
    }

    /// Checks that `value` is in `min..=max`.
    ///
    /// # Errors
    ///
    /// [`Invalid`] with the field, the limits and the value.
    pub fn check_range<N>(field: &'static str, value: N, min: N, max: N) -> Result<(), Self>
    where
        N: PartialOrd + fmt::Display,
    {
        if value >= min && value <= max {
            return Ok(());
        }
        Err(Self::new(field, format!("must be {min} to {max}, but is {value}")))
    }
}

/// Every wrong field of a rejected request, at least one. The message has the messages of all,
/// separated by `; `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidFields {
    first: Invalid,
    others: Vec<Invalid>,
}

impl InvalidFields {
    /// Returns `Ok` if all `checks` are, and else every error, in order.
    pub(crate) fn check(checks: impl IntoIterator<Item = Result<(), Invalid>>) -> Result<(), Self> {
        let mut wrong = checks.into_iter().filter_map(Result::err);
        match wrong.next() {
            None => Ok(()),
            Some(first) => Err(Self { first, others: wrong.collect() }),
        }
    }

    /// Returns both values, or the errors of both.
    pub(crate) fn both<A, B>(a: Result<A, impl Into<Self>>, b: Result<B, impl Into<Self>>) -> Result<(A, B), Self> {
        match (a, b) {
            (Ok(a), Ok(b)) => Ok((a, b)),
            (Err(wrong), Ok(_)) => Err(wrong.into()),
            (Ok(_), Err(wrong)) => Err(wrong.into()),
            (Err(a), Err(b)) => {
                let Self { first, mut others } = a.into();
                others.extend(b.into().into_iter());
                Err(Self { first, others })
            }
        }
    }

    /// Returns the first wrong field.
    #[must_use]
    pub const fn first(&self) -> &Invalid {
        &self.first
    }

    /// Returns every wrong field, in the order of the fields.
    pub fn iter(&self) -> impl Iterator<Item = &Invalid> {
        iter::once(&self.first).chain(&self.others)
    }

    fn into_iter(self) -> impl Iterator<Item = Invalid> {
        iter::once(self.first).chain(self.others)
    }
}

impl fmt::Display for InvalidFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        self.others.iter().try_for_each(|other| write!(f, "; {other}"))
    }
}

impl std::error::Error for InvalidFields {}

impl From<Invalid> for InvalidFields {
    fn from(first: Invalid) -> Self {
        Self { first, others: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_wrong_fields_are_named_in_order() {
        let [a, b, c] = ["a", "b", "c"].map(|field| Invalid::new(field, "must be less"));

        let ab = InvalidFields::check([Err(a.clone()), Ok(()), Err(b.clone())]).unwrap_err();
        let abc = InvalidFields::both(Err::<(), _>(ab.clone()), Err::<(), _>(c.clone())).unwrap_err();

        assert_eq!(abc.to_string(), "`a` must be less; `b` must be less; `c` must be less");
        assert_eq!((abc.first(), abc.iter().collect::<Vec<_>>()), (&a, vec![&a, &b, &c]));
        assert_eq!(InvalidFields::both(Ok::<_, Invalid>(1), Err::<(), _>(ab.clone())), Err(ab));
        assert_eq!(InvalidFields::both(Err::<(), _>(c.clone()), Ok::<_, Invalid>(1)), Err(c.into()));
        assert_eq!(InvalidFields::both(Ok::<_, Invalid>(1), Ok::<_, Invalid>(2)), Ok((1, 2)));
        assert_eq!(InvalidFields::check([Ok(()), Ok(())]), Ok(()));
    }
}
