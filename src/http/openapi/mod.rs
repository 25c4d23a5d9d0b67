//! How routes describe themselves for the OpenAPI document, which `document` builds.
//!
//! ```text
//!   /// Shows a batch.                                   summary      ──┐
//!   #[get("/<id>")]                                      path, method ──┤
//!   async fn get_batch(.., id: PathId)                   Input        ──┼──▶ one operation
//!       -> Result<JsonResponse<BatchRecord>>             Output       ──┘
//! ```
//!
//! A handler is written within [`endpoint!`], which implements [`Documented`] for its route. Only
//! an [`Endpoint`] can be mounted, and only a `Documented` route converts into one. So a route that
//! is missing from the document, or has no doc comment, does not compile. The types in a handler's
//! signature describe its statuses: each type that reads a part of a request also describes how
//! that part can be refused.

pub(super) mod endpoint;
pub(super) mod operation;

pub(super) use self::{
    endpoint::{Endpoint, Tag, endpoint, endpoints},
    operation::{Input, Operation, Output, ProblemExample, ProblemHeader},
};
