//! Who looks at the page, and what he may do.

use serde_json::json;

use crate::{Fixture, MANAGER, RATE_LIMIT, TestResult, VISITOR};

const STORED: &str = "Object.values(sessionStorage).join()";

/// The server decides, not the page: a request that the page does not offer is refused.
#[tokio::test]
async fn a_caller_who_may_only_look_sees_no_action_and_can_force_none() -> TestResult {
    let mut fixture = Fixture::start_logged_out(|home| home.with(RATE_LIMIT, "1 per 1s")).await?;
    let batch = fixture.shop.post(&json!({ "quantity": 5_000 })).await?;
    fixture.page.log_in(VISITOR).await?;
    fixture.open(&format!("batch={batch}")).await?;
    let Fixture { page, shop, .. } = &mut fixture;
    page.until("jobs").await?;
    page.until_true("document.querySelector('main [role=progressbar]') !== null").await?;

    let buttons = page.names("button").await?;
    for action in ["New batch", "Create batch", "Pause", "Resume", "Cancel batch", "Retry"] {
        assert!(!buttons.iter().any(|name| name.starts_with(action)), "{action}: {buttons:?}");
    }
    let force = format!(
        "fetch('/batches/{batch}/cancel', {{ method: 'POST', headers: {{ Authorization: 'Bearer {VISITOR}' }} }})
            .then((response) => response.status)"
    );
    assert_eq!(page.evaluate(&force).await?, 403);
    page.until_drawn().await?;
    page.press("n").await?;
    page.until_drawn().await?;
    assert!(!page.names("button").await?.contains(&"Create batch".to_owned()));

    assert_ne!(shop.progress(batch).await?["status"], "cancelled");
    fixture.finish(&["status of 403"]).await
}

#[tokio::test]
async fn a_token_is_kept_for_the_session_and_dropped_when_it_is_refused() -> TestResult {
    let mut fixture = Fixture::start_logged_out(|home| home).await?;
    let Fixture { page, shop, .. } = &mut fixture;

    page.log_in("guessed").await?;
    page.until_true(&format!("!{STORED}.includes('guessed')")).await?;
    page.log_in(MANAGER).await?;
    page.until("New batch").await?;
    assert_eq!(page.evaluate(STORED).await?, MANAGER);
    let key = page.evaluate("Object.keys(sessionStorage)[0]").await?;
    assert_eq!(page.evaluate("Object.values(localStorage).join() + document.cookie").await?, "");
    assert!(!page.url().await?.contains(MANAGER));
    page.reload().await?;
    page.until("No batch yet").await?;

    shop.post_json("/end-of-sessions", &json!({})).await?;
    page.fill("Find a batch, job or code", "1").await?;
    page.press("Enter").await?;
    page.until("Access token").await?;
    assert_eq!(page.evaluate(STORED).await?, "");

    page.evaluate(&format!("sessionStorage.setItem({key}, '{MANAGER}')")).await?;
    page.reload().await?;
    page.until("Access token").await?;
    assert_eq!(page.evaluate(STORED).await?, "", "the page must not keep a token that is refused from the start");
    fixture.finish(&[]).await
}

/// The host's own login is enough, and the page's requests pass its check of foreign pages.
#[tokio::test]
async fn a_caller_with_a_cookie_of_the_host_needs_no_token() -> TestResult {
    let mut fixture = Fixture::start_logged_out(|home| home).await?;
    let page = &mut fixture.page;

    page.set_cookie("token", MANAGER, "127.0.0.1").await?;
    page.reload().await?;
    page.press_button("New batch").await?;
    page.fill("Quantity", "100").await?;
    page.press_button("Create batch").await?;
    page.until_status("completed").await?;

    assert!(!fixture.page.text().await?.contains("Access token"));
    fixture.finish(&[]).await
}
