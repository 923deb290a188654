//! Sends alert messages to the webhook, signed according to Standard Webhooks (standardwebhooks.com). Each message is
//! delivered at least once, messages of one alert in order. Holds no database connection during a request.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request,
    body::Bytes,
    header::{CONTENT_TYPE, USER_AGENT},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rand::Rng as _;
use sha2::Sha256;
use tokio::time::timeout;
use uuid::Uuid;

use crate::server::database::Connection;
use crate::server::{
    clock::Clock,
    config::alerts::{Webhook, WebhookSecret},
    database::Database,
    store::alert_deliveries::{self, ClaimedDelivery},
};

/// Time limit for the delivery of one message.
pub const RECEIVER_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for which a node owns a claimed message; then another node may send it. Must exceed `RECEIVER_TIMEOUT` plus the
/// database statements.
const CLAIM_LEASE: TimeDelta = TimeDelta::seconds(60);

/// Age at which an undelivered message is dropped.
const MAX_AGE: TimeDelta = TimeDelta::hours(24);

/// Delay after the first failure.
const MIN_RETRY_DELAY: TimeDelta = TimeDelta::seconds(10);

/// Longest delay.
const MAX_RETRY_DELAY: TimeDelta = TimeDelta::hours(1);

/// Largest number of response bytes that are read. The content is ignored; reading lets the receiver finish its response.
const MAX_RESPONSE_BYTES: usize = 16 * 1024;

/// Longest error text that is stored.
const MAX_ERROR_CHARS: usize = 120;

/// Sends queued messages to the webhook.
pub struct WebhookSender {
    webhook: Webhook,
    timeout_after: Duration,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Reason why a message was not delivered. The text contains neither the URL nor the secret.
#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error("the receiver responded with status {0}; redirects are not followed")]
    Redirect(u16),
    #[error("the receiver responded with status {0}")]
    Status(u16),
    #[error("no response within {0} seconds")]
    Timeout(u64),
    #[error("no connection to the receiver: {0}")]
    NoConnection(String),
    #[error("connection to the receiver lost: {0}")]
    ConnectionLost(String),
    #[error("the request could not be built")]
    InvalidMessage,
}

impl WebhookSender {
    pub fn new(webhook: Webhook, timeout_after: Duration) -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        // No connection reuse, since messages are rare.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Self {
            webhook,
            timeout_after,
            client,
        }
    }

    /// Sends all due messages, one after the other. Returns the number of delivered messages.
    ///
    /// # Errors
    /// Database errors. The claimed message is sent again when its lease expires.
    pub async fn deliver_due(&self, database: &Database, clock: &Clock) -> sqlx::Result<usize> {
        let mut delivered = 0;
        loop {
            let now = clock.now();
            let mut tx = database.begin_unverified().await?;
            let claimed = alert_deliveries::claim(&mut tx, now + CLAIM_LEASE, now).await?;
            tx.commit().await?;
            let Some(claimed) = claimed else {
                return Ok(delivered);
            };
            let result = timeout(self.timeout_after, self.send(&claimed, now)).await;
            let result = result.unwrap_or(Err(DeliveryError::Timeout(self.timeout_after.as_secs())));
            let now = clock.now();
            let mut tx = database.begin().await?;
            match result {
                Ok(()) => {
                    alert_deliveries::mark_delivered(&mut tx, claimed.id, now).await?;
                    delivered += 1;
                }
                Err(error) => record_failure(&mut tx, &claimed, &error, now).await?,
            }
            tx.commit().await?;
        }
    }

    async fn send(&self, message: &ClaimedDelivery, now: DateTime<Utc>) -> Result<(), DeliveryError> {
        let timestamp = now.timestamp();
        let signature = sign(&self.webhook.secret, message.id, timestamp, &message.payload)
            .ok_or(DeliveryError::InvalidMessage)?;
        let request = Request::post(self.webhook.url.reveal())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("broker-portal/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", message.id.to_string())
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(Full::from(message.payload.clone()))
            .map_err(|_| DeliveryError::InvalidMessage)?;
        let response = self.client.request(request).await.map_err(|error| {
            let cause = root_cause(&error);
            if error.is_connect() {
                DeliveryError::NoConnection(cause)
            } else {
                DeliveryError::ConnectionLost(cause)
            }
        })?;
        let status = response.status();
        // Read the body so that the receiver can finish. A response with an incomplete body also counts.
        _ = Limited::new(response.into_body(), MAX_RESPONSE_BYTES)
            .collect()
            .await;
        if status.is_success() {
            Ok(())
        } else if status.is_redirection() {
            Err(DeliveryError::Redirect(status.as_u16()))
        } else {
            Err(DeliveryError::Status(status.as_u16()))
        }
    }
}

async fn record_failure(
    conn: &mut Connection,
    claimed: &ClaimedDelivery,
    error: &DeliveryError,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let next = now + retry_delay(claimed.attempts, rand::rng().random());
    let next = (next - claimed.created_at <= MAX_AGE).then_some(next);
    let (delivery, attempts) = (claimed.id, claimed.attempts);
    if next.is_some() {
        tracing::info!(%delivery, attempts, %error, "webhook delivery failed, retrying");
    } else {
        tracing::warn!(%delivery, attempts, %error, "webhook delivery failed, message dropped");
    }
    alert_deliveries::mark_failed(conn, claimed, &error.to_string(), next, now).await
}

/// Returns the delay after `attempts` failures. It doubles each time; `jitter` (0 to 1) varies it by up to 20 %, so that
/// messages that failed together are not retried together.
fn retry_delay(attempts: i32, jitter: f64) -> TimeDelta {
    let doublings = attempts.clamp(1, 20) - 1;
    let doubled = MIN_RETRY_DELAY.num_milliseconds() << doublings;
    let delay = doubled.min(MAX_RETRY_DELAY.num_milliseconds());
    // A fifth of an hour in milliseconds is exact in an f64.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "below 2^53"
    )]
    let offset = (delay as f64 * (jitter - 0.5) * 0.4) as i64;
    TimeDelta::milliseconds(delay + offset)
}

/// Returns `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`.
fn sign(secret: &WebhookSecret, id: Uuid, timestamp: i64, body: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal()).ok()?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    Some(format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes())))
}

/// Returns the innermost cause of an error: the text of the system or of TLS, which does not contain the address.
fn root_cause(error: &hyper_util::client::legacy::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string().chars().take(MAX_ERROR_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_an_hour_with_jitter() {
        let seconds = |attempts, jitter| retry_delay(attempts, jitter).num_seconds();
        assert_eq!(
            [1, 2, 3, 9, 10, 1000].map(|attempts| seconds(attempts, 0.5)),
            [10, 20, 40, 2560, 3600, 3600]
        );
        assert_eq!((seconds(1, 0.0), seconds(1, 1.0)), (8, 12));
    }
}
