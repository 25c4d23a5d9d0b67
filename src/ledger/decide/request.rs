//! What an earlier request with the same idempotency key means for a new one.

use std::time::Duration;

use crate::{
    domain::{BatchId, CreateRequest},
    ledger::{error::LedgerError, types::Created},
};

/// An earlier request with the same key, and the batch that it created.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct EarlierRequest {
    pub created: Created,
    pub fingerprint: String,
    /// Zero if the clock was set back since.
    pub age: Duration,
}

/// What follows from an earlier request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) enum Recall {
    /// It is the same request: return its result.
    Repeated(Created),
    /// Its key has expired: release it from this batch.
    Expired(BatchId),
}

impl EarlierRequest {
    /// Decides what `request` gets.
    ///
    /// # Errors
    ///
    /// [`LedgerError::KeyReused`] if the earlier request was another one.
    pub(in crate::ledger) fn recall(self, request: &CreateRequest) -> Result<Recall, LedgerError> {
        if self.age >= request.remembered {
            return Ok(Recall::Expired(self.created.batch));
        }
        if self.fingerprint != request.fingerprint {
            return Err(LedgerError::KeyReused(self.created.batch));
        }
        Ok(Recall::Repeated(self.created))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::IdempotencyKey;

    #[test]
    fn a_key_stands_for_its_request_until_it_expires() {
        let request = CreateRequest::new(None, IdempotencyKey::new("once").unwrap(), b"5000 items");
        let batch = BatchId::new(7).unwrap();
        let created = Created { batch, quantity: 1, jobs: 1, estimated: Duration::ZERO, repeated: true };
        let earlier = |fingerprint: &str, age| {
            EarlierRequest { created, fingerprint: fingerprint.into(), age }.recall(&request).map_err(drop)
        };
        let (fresh, expired) = (request.remembered / 2, request.remembered);

        assert_eq!(earlier(&request.fingerprint, fresh), Ok(Recall::Repeated(created)));
        assert_eq!(earlier("other", fresh), Err(()));
        assert_eq!(earlier("other", expired), Ok(Recall::Expired(batch)));
    }
}
