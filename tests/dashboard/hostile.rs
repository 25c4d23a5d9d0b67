//! Text from outside stays text.

use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::json;

use crate::{Fixture, TestResult, failures::impatient};

const HOSTILE: &str = r#"<img src=x onerror="document.title='owned'">'"&lt;</script>javascript:alert(1)"#;

/// Nothing of the page came from a text: no element, no handler, no link that runs a script.
const HARMLESS: &str = "document.title !== 'owned'
    && document.querySelector('[onerror], [src=x], iframe') === null
    && [...document.links].every((link) => ['http:', 'https:'].includes(link.protocol))";

async fn assert_harmless(fixture: &mut Fixture, place: &str) -> TestResult {
    let harmless = fixture.page.evaluate(HARMLESS).await?;
    assert_eq!(harmless, true, "{place}: {}", fixture.page.text().await?);
    Ok(())
}

/// Returns the part of a page's URL that opens batch 1 with one more value, or another batch.
fn place(name: &str, value: &str) -> TestResult<String> {
    let values = [("batch", "1"), (name, value)];
    let url = Url::parse_with_params("http://127.0.0.1", &values[usize::from(name == "batch")..])?;
    Ok(url.query().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_reason_of_a_failure_is_shown_as_it_is() -> TestResult {
    let mut fixture = Fixture::start_with(impatient).await?;
    let reasons = BTreeMap::from([(57, HOSTILE)]);
    fixture.shop.post_json("/faults", &json!(reasons)).await?;
    let batch = fixture.shop.post(&json!({ "quantity": 200, "batchSize": 100 })).await?;
    fixture.shop.until(batch, |progress| progress["status"] == "failed").await?;
    let group = fixture.shop.get(&format!("/batches/{batch}/failure-groups")).await?["items"][0]["group"].clone();
    let group = group.as_str().ok_or("no group")?;

    for place in [format!("batch={batch}"), format!("batch={batch}&group={group}"), format!("batch={batch}&job=0")] {
        fixture.open(&place).await?;
        fixture.page.until(HOSTILE).await?;
        assert_harmless(&mut fixture, &place).await?;
    }
    fixture.finish(&[]).await
}

#[tokio::test]
async fn a_hostile_link_to_the_page_harms_nobody() -> TestResult {
    let mut fixture = Fixture::start_with(|home| home).await?;
    fixture.shop.post(&json!({ "quantity": 100 })).await?;

    let names = ["batch", "status", "group", "job", "item", "new"];
    let mut places = names.map(|name| place(name, HOSTILE)).into_iter().collect::<TestResult<Vec<_>>>()?;
    places.push(HOSTILE.to_owned());
    for place in places {
        fixture.open(&place).await?;
        fixture.page.reload().await?;
        fixture.page.until("New batch").await?;
        fixture.page.until_drawn().await?;
        fixture.page.until_true("document.querySelector('[aria-busy]') === null").await?;
        assert_harmless(&mut fixture, &place).await?;
    }
    fixture.finish(&["status of 404", "status of 422", "status of 400"]).await
}

#[tokio::test]
async fn what_a_user_pastes_and_the_settings_stay_text() -> TestResult {
    let mut fixture = Fixture::start_with(|home| home.with("ROCKET_BATCH__DASHBOARD__TITLE", HOSTILE)).await?;
    fixture.page.until(HOSTILE).await?;
    assert_harmless(&mut fixture, "the title").await?;

    for text in [HOSTILE, "javascript:alert(1)", "https://evil.example/<b>", "b1-j<i>-g0"] {
        fixture.page.fill("Find a batch, job or code", text).await?;
        fixture.page.press("Enter").await?;
        fixture.page.until(text).await?;
        assert_harmless(&mut fixture, "the search box").await?;
    }
    fixture.page.press_button("New batch").await?;
    fixture.page.fill("Quantity", "10").await?;
    fixture.page.fill("Code prefix", HOSTILE).await?;
    fixture.page.until("qrCodePrefix").await?;
    assert_harmless(&mut fixture, "the form").await?;
    fixture.finish(&["status of 404", "status of 422"]).await
}

/// Should the page ever take a text for markup, its policy still lets nothing run and nothing out.
/// It also shows that the tests notice such attempts.
#[tokio::test]
async fn markup_that_slips_through_is_stopped_by_the_policy() -> TestResult {
    let mut fixture = Fixture::start_with(|home| home).await?;
    let page = &mut fixture.page;
    let stranger = Url::parse("http://127.0.0.1:9/")?;

    page.evaluate(&format!("document.body.insertAdjacentHTML('beforeend', {})", json!(HOSTILE))).await?;
    page.evaluate(&format!("fetch('{stranger}').catch(() => null)")).await?;
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), { text: 'document.title = 1' }))",
    )
    .await?;
    page.evaluate("setTimeout(() => { console.warn('a warning'); throw new Error('an exception'); })").await?;
    page.until_drawn().await?;

    assert_ne!(page.evaluate("document.title").await?, "owned");
    assert_ne!(page.evaluate("document.title").await?, "1");
    let complaints = page.complaints(&[]).await?;
    for expected in [
        "content security policy: script-src-attr inline",
        "content security policy: script-src-elem inline",
        "content security policy: connect-src http://127.0.0.1:9/",
        "console: a warning",
        "exception: Error: an exception",
    ] {
        assert!(complaints.iter().any(|line| line.starts_with(expected)), "{expected}: {complaints:#?}");
    }
    fixture.finish(&["content security policy", "Content Security Policy", "a warning", "an exception", "/x "]).await
}
