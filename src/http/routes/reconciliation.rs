//! The query of a check of items.

use rocket::FromForm;
use schemars::JsonSchema;

use super::input::{RepeatedParam, at_most_one};
use crate::{
    domain::{Invalid, ReconciliationOptions},
    http::{
        openapi::{Input, Operation},
        problem::Problem,
    },
};

/// How to check the items of a batch.
#[derive(Debug, FromForm, JsonSchema)]
pub(super) struct ReconciliationQuery {
    /// Whether to check each code as well.
    #[schemars(with = "Option<bool>", extend("default" = false))]
    codes: RepeatedParam,
    /// Whether to start a new check although a recent report exists. Joins a running check.
    #[schemars(with = "Option<bool>", extend("default" = false))]
    refresh: RepeatedParam,
}

impl Input for ReconciliationQuery {
    fn describe(_: &str, operation: &mut Operation<'_>) {
        operation.query::<Self>();
        operation.problem("A parameter is not valid.", &Problem::from(wrong_flag("codes", "yes")));
    }
}

impl ReconciliationQuery {
    pub(super) fn validate(self) -> Result<ReconciliationOptions, Invalid> {
        Ok(ReconciliationOptions { codes: flag("codes", self.codes)?, refresh: flag("refresh", self.refresh)? })
    }
}

fn flag(field: &'static str, values: RepeatedParam) -> Result<bool, Invalid> {
    let text = at_most_one(field, values)?;
    text.map_or(Ok(false), |text| text.parse().map_err(|_| wrong_flag(field, &text)))
}

fn wrong_flag(field: &'static str, text: &str) -> Invalid {
    Invalid::new(field, format!("must be `true` or `false`, but is {text:?}"))
}
