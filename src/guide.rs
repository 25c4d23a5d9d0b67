// The first definition of a link applies. `links.md` comes first, so links lead to modules here and
// to files on a code host. Line numbers of failing blocks count from the first line of `links.md`.
#![doc = include_str!("guide/links.md")]
#![doc = include_str!("../docs/guide/README.md")]

macro_rules! page {
    ($name:ident) => {
        #[doc = include_str!("guide/links.md")]
        #[doc = include_str!(concat!("../docs/guide/", stringify!($name), ".md"))]
        pub mod $name {}
    };
}

page!(start);
page!(recipes);
page!(item_writers);
page!(transactions);
page!(hooks);
page!(tables);
page!(rights);
page!(openapi);
page!(testing);
page!(configuration);
page!(settings);
page!(redis);
page!(operating);
page!(reconciliation);
page!(dashboard);
page!(watching);
page!(traces);
page!(metrics);
page!(logs);
page!(audit);
page!(guarantees);
page!(coming_from_node);
