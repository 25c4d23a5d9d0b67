//! Routes with a description, and the macros that write them.

use rocket::{Route, http::Method};

use super::operation::Operation;
#[cfg(feature = "prometheus")]
use crate::http::rights::Check;
use crate::http::rights::Rights;

/// A route that describes its purpose, its input and its output.
pub(in crate::http) trait Documented {
    fn describe(operation: &mut Operation<'_>);
}

/// Defines a handler for Rocket, and its description for the document.
///
/// Rocket gets the tokens unchanged, because its own macros do not recognise tokens that another
/// macro has parsed. Only a copy of them is parsed here. A `///` comment is required.
macro_rules! endpoint {
    (@read $(#[doc = $prose:literal])+ #[get $route:tt] $($handler:tt)+) => {
        $crate::http::openapi::endpoint::endpoint!(@describe [$($prose),+] $($handler)+);
    };
    (@read $(#[doc = $prose:literal])+ #[post $route:tt] $($handler:tt)+) => {
        $crate::http::openapi::endpoint::endpoint!(@describe [$($prose),+] $($handler)+);
    };
    (@describe [$($prose:literal),+]
        $(async)? fn $name:ident($($argument:ident: $input:ty),* $(,)?) -> $output:ty $body:block
    ) => {
        impl $crate::http::openapi::endpoint::Documented for $name {
            fn describe(operation: &mut $crate::http::openapi::operation::Operation<'_>) {
                operation.prose(stringify!($name), &[$($prose),+]);
                $(<$input as $crate::http::openapi::operation::Input>::describe(stringify!($argument), operation);)*
                <$output as $crate::http::openapi::operation::Output>::describe(operation);
            }
        }
    };
    ($($handler:tt)+) => {
        $($handler)+
        $crate::http::openapi::endpoint::endpoint!(@read $($handler)+);
    };
}
pub(in crate::http) use endpoint;

/// Like `routes!`, for documented routes: `endpoints![Tag::Batches => get_batch, list_batches]`.
macro_rules! endpoints {
    ($tag:expr => $($name:ident),+ $(,)?) => {
        vec![$($crate::http::openapi::endpoint::Endpoint::new::<$name>($tag, rocket::routes![$name])),+]
    };
}
pub(in crate::http) use endpoints;

/// The group of a route in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Tag {
    Batches,
    Items,
    Workers,
    Health,
}

impl Tag {
    pub(in crate::http) const ALL: [Self; 4] = [Self::Batches, Self::Items, Self::Workers, Self::Health];

    pub(in crate::http) const fn name(self) -> &'static str {
        match self {
            Self::Batches => "batches",
            Self::Items => "items",
            Self::Workers => "workers",
            Self::Health => "health",
        }
    }

    pub(in crate::http) const fn description(self) -> &'static str {
        match self {
            Self::Batches => "Create, inspect and control batches, which are requests for items.",
            Self::Items => "Read the items that batches have created.",
            Self::Workers => "See which processes run jobs.",
            Self::Health => "Health probes, open without credentials, and metrics.",
        }
    }
}

/// A route with its description. Nothing else is mounted.
pub(in crate::http) struct Endpoint {
    route: Route,
    tag: Tag,
    describe: fn(&mut Operation<'_>),
}

impl Endpoint {
    /// The endpoint of the one route in `routes`.
    ///
    /// # Panics
    ///
    /// If `routes` is empty. The macro [`endpoints!`] passes `routes!` of one name.
    #[expect(clippy::expect_used, reason = "`routes!` with one name makes one route")]
    pub(in crate::http) fn new<R: Documented>(tag: Tag, mut routes: Vec<Route>) -> Self {
        let route = routes.pop().expect("`routes!` with one name makes one route");
        Self { route, tag, describe: R::describe }
    }

    pub(in crate::http) fn ranked(mut self, rank: isize) -> Self {
        self.route.rank = rank;
        self
    }

    /// The route, open to every request.
    pub(in crate::http) fn open(self) -> Route {
        self.route
    }

    /// The route behind the right that its method needs.
    pub(in crate::http) fn guarded(self, rights: &Rights) -> Route {
        rights.guard(self.route)
    }

    /// The route behind `check`.
    #[cfg(feature = "prometheus")]
    pub(in crate::http) fn guarded_by(self, check: Check) -> Route {
        check.guard(self.route)
    }

    pub(in crate::http) fn method(&self) -> Method {
        self.route.method
    }

    /// The path of the route when it is mounted at `base`, with parameters in braces.
    pub(in crate::http) fn path(&self, base: &str) -> String {
        let path = self.route.uri.path().replace('<', "{").replace('>', "}");
        format!("{base}{}", path.trim_end_matches('/'))
    }

    /// Adds the tag and the description of the handler to `operation`.
    pub(in crate::http) fn describe(&self, operation: &mut Operation<'_>) {
        operation.tag(self.tag.name());
        (self.describe)(operation);
    }
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use rocket::get;

    use super::*;
    use crate::http::openapi::operation::Output;

    #[get("/bare")]
    #[expect(dead_code, reason = "the test shows that it can't be mounted")]
    fn undocumented() {}

    endpoint! {
        /// Does nothing.
        #[get("/documented")]
        async fn documented() -> NoContent {
            std::future::ready(()).await;
            NoContent(())
        }
    }

    #[derive(rocket::Responder)]
    #[response(status = 204)]
    struct NoContent(());

    impl Output for NoContent {
        fn describe(_: &mut Operation<'_>) {}
    }

    /// `IsDocumented::<R>::VALUE` is the inherent constant if `R` is documented, and else the
    /// trait's.
    struct IsDocumented<R>(PhantomData<R>);

    trait Fallback {
        const VALUE: bool = false;
    }

    impl<R> Fallback for IsDocumented<R> {}

    impl<R: Documented> IsDocumented<R> {
        const VALUE: bool = true;
    }

    /// `Endpoint::new::<undocumented>(..)` would not compile, and only endpoints are mounted.
    #[test]
    fn only_handlers_within_endpoint_can_be_mounted() {
        const { assert!(!IsDocumented::<undocumented>::VALUE) };
        const { assert!(IsDocumented::<documented>::VALUE) };
        assert_eq!(endpoints![Tag::Health => documented][0].path("/batches"), "/batches/documented");
    }
}
