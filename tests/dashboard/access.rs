//! The page is for everyone: axe-core finds nothing serious, and no mouse is needed.

use serde_json::json;

use crate::{Fixture, RATE_LIMIT, TestResult, failures::impatient};

async fn is_accessible_in(colours: &str) -> TestResult {
    let mut fixture = Fixture::start_with(impatient).await?;
    fixture.page.prefer("prefers-color-scheme", colours).await?;
    fixture.page.is_accessible("no batch yet").await?;
    let batch = fixture.create_failing_batch(200).await?;

    fixture.open("").await?;
    let page = &mut fixture.page;
    page.until("20,000").await?;
    page.is_accessible("the list").await?;
    fixture.open(&format!("batch={batch}")).await?;
    let page = &mut fixture.page;
    page.until("out of labels at N").await?;
    page.is_accessible("a batch").await?;
    page.press_button("New batch").await?;
    page.fill("Quantity", "0").await?;
    page.until("must be 1 to 10000000").await?;
    page.is_accessible("the form").await?;
    fixture.open(&format!("batch={batch}&job=0")).await?;
    let page = &mut fixture.page;
    page.until("out of labels at 57").await?;
    page.is_accessible("a failed job").await?;
    page.until_drawn().await?;
    page.press("?").await?;
    page.until("find a batch, job or code").await?;
    page.is_accessible("the help").await?;
    fixture.finish(&["status of 422"]).await
}

#[tokio::test]
async fn axe_finds_nothing_serious_in_light_colours() -> TestResult {
    is_accessible_in("light").await
}

#[tokio::test]
async fn axe_finds_nothing_serious_in_dark_colours() -> TestResult {
    is_accessible_in("dark").await
}

/// Create, watch, open the failures, retry, cancel.
#[tokio::test]
async fn everything_works_by_keyboard_alone() -> TestResult {
    let mut fixture = Fixture::start_logged_out(impatient).await?;
    let Fixture { page, shop, .. } = &mut fixture;
    shop.post_json("/faults", &json!({ "57": "out of labels" })).await?;
    page.tab_to("textbox", "Access token").await?;
    page.type_text(crate::MANAGER).await?;
    page.press("Enter").await?;
    page.until("New batch").await?;
    page.until_drawn().await?;

    page.press("n").await?;
    page.until("Create batch").await?;
    page.tab_to("textbox", "Quantity").await?;
    page.type_text("1000").await?;
    page.press("Enter").await?;
    page.until_status("failed").await?;
    assert_eq!(shop.progress(1).await?["failed"], 1);

    page.tab_to("button", "out of labels").await?;
    page.press("Enter").await?;
    page.tab_to("link", "b1-j0-g0").await?;
    page.press("Enter").await?;
    page.until("Job 0").await?;
    shop.post_json("/faults", &json!({})).await?;
    page.tab_to("button", "Retry 1 job").await?;
    page.press("Enter").await?;
    shop.until(1, |progress| progress["status"] == "completed").await?;

    let slow = shop.post(&json!({ "quantity": 1_000_000, "batchSize": 1_000 })).await?;
    page.press("/").await?;
    assert_eq!(page.focused().await?.1, "Find a batch, job or code");
    page.type_text(&slow.to_string()).await?;
    page.press("Enter").await?;
    page.tab_to("button", "Cancel batch").await?;
    page.press("Enter").await?;
    page.tab_to("button", "Cancel this batch").await?;
    page.press("Enter").await?;
    shop.until(slow, |progress| progress["status"] == "cancelled").await?;
    fixture.finish(&[]).await
}

/// On a phone, a batch takes the place of the list.
#[tokio::test]
async fn the_page_fits_a_phone() -> TestResult {
    let mut fixture = Fixture::start_with(impatient).await?;
    let batch = fixture.create_failing_batch(200).await?;
    fixture.page.viewport(390, 844).await?;
    fixture.open("").await?;
    let page = &mut fixture.page;
    page.reload().await?;

    page.until("20,000").await?;
    page.until_true("!document.querySelector('main').checkVisibility()").await?;
    page.fits("the list").await?;
    page.is_accessible("the list").await?;
    page.click_link(&format!("Batch {batch}")).await?;
    page.until("out of labels at N").await?;
    page.until_true("!document.querySelector('nav').checkVisibility()").await?;
    page.fits("a batch").await?;
    page.is_accessible("a batch").await?;
    page.click_link("All batches").await?;
    page.until_true("document.querySelector('nav').checkVisibility()").await?;
    page.press_button("New batch").await?;
    page.until("Create batch").await?;
    page.fits("the form").await?;

    fixture.finish(&[]).await
}

#[tokio::test]
async fn nothing_moves_for_users_who_prefer_that() -> TestResult {
    let mut fixture = Fixture::start_with(|home| home.with(RATE_LIMIT, "5 per 500ms")).await?;
    fixture.page.prefer("prefers-reduced-motion", "reduce").await?;
    let batch = fixture.shop.post(&json!({ "quantity": 2_000, "batchSize": 100 })).await?;
    fixture.open(&format!("batch={batch}")).await?;
    let page = &mut fixture.page;
    page.evaluate("window.moved = []").await?;
    let watch = "(function watch() {
        for (const it of document.getAnimations()) window.moved.push(it.animationName ?? it.transitionProperty);
        requestAnimationFrame(watch);
    })()";
    page.evaluate(watch).await?;

    page.until_status("completed").await?;

    assert_eq!(page.evaluate("window.moved.join()").await?, "");
    fixture.finish(&[]).await
}
