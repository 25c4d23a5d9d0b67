//! The page finds its routes wherever it is.

use serde_json::json;

use crate::{Fixture, MANAGER, TestResult};

/// Creates a batch on the page, and watches it end.
async fn creates_a_batch(fixture: &mut Fixture) -> TestResult {
    let Fixture { page, shop, .. } = fixture;
    page.press_button("New batch").await?;
    page.fill("Quantity", "500").await?;
    page.press_button("Create batch").await?;
    page.until_status("completed").await?;
    assert_eq!(shop.progress(1).await?["itemsCreated"], json!(500));
    Ok(())
}

#[tokio::test]
async fn the_page_works_under_another_base() -> TestResult {
    let mut fixture = Fixture::start_with(|home| home.with("ROCKET_BATCH__BASE", "/admin/work")).await?;

    creates_a_batch(&mut fixture).await?;

    assert!(fixture.page.url().await?.contains("/admin/work/dashboard"));
    fixture.finish(&[]).await
}

#[tokio::test]
async fn the_page_works_below_a_path_of_a_reverse_proxy() -> TestResult {
    let mut fixture = Fixture::start_without_page(|home| home).await?;
    let proxied = fixture.page.proxy(&fixture.shop.url(""), "/inside/shop").await?;
    fixture.page.go(&format!("{proxied}/batches/dashboard")).await?;
    fixture.page.log_in(MANAGER).await?;

    creates_a_batch(&mut fixture).await?;

    fixture.finish(&[]).await
}
