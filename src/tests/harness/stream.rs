//! Clients of event streams.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::time::timeout;

/// Time limit for an event, on a machine that is busy with other tests.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Time limit for the close after `session_ended`. Shorter than the heartbeat interval (15 s), which would close the
/// stream in any case.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);

/// Sent when nothing happens.
const HEARTBEAT: &str = "heartbeat";

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamEvent {
    pub id: i64,
    pub kind: String,
    pub data: Value,
}

/// An open stream.
pub struct EventStream {
    body: BodyDataStream,
    text: String,
    /// The number of the last event, from which a client would resume.
    pub last_id: i64,
}

impl EventStream {
    /// Opens the stream of a response and reads its first block.
    pub async fn open(body: Body) -> Self {
        let mut stream = Self {
            body: body.into_data_stream(),
            text: String::new(),
            last_id: -1,
        };
        let greeting = stream.read_block().await.expect("a greeting");
        assert!(greeting.contains("retry:") && stream.last_id >= 0, "{greeting}");
        stream
    }

    /// Returns the next event, without heartbeats. `None`: the stream was closed.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        // Heartbeats arrive all the time and do not count.
        timeout(TIMEOUT, self.read_event())
            .await
            .expect("an event arrives in time")
    }

    async fn read_event(&mut self) -> Option<StreamEvent> {
        loop {
            let block = self.read_block().await?;
            let field = |name: &str| {
                block
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .map(|value| value.trim().to_owned())
            };
            if let (Some(kind), Some(data)) =
                (field("event:").filter(|kind| kind != HEARTBEAT), field("data:"))
            {
                return Some(StreamEvent {
                    id: self.last_id,
                    kind,
                    data: data.parse().expect("JSON"),
                });
            }
        }
    }

    /// Returns the next heartbeat and skips everything before it.
    pub async fn next_heartbeat(&mut self) -> String {
        let beat = async {
            loop {
                let block = self.read_block().await.expect("an open stream");
                if block.contains(HEARTBEAT) {
                    return block;
                }
            }
        };
        timeout(TIMEOUT, beat).await.expect("a beat in time")
    }

    /// Returns the next event of this kind. Skips `sessions_changed`, which a recent sign-in may cause.
    pub async fn next_of_kind(&mut self, kind: &str) -> StreamEvent {
        loop {
            let event = self.next().await.expect("an open stream");
            if event.kind == kind {
                return event;
            }
            assert_eq!(event.kind, "sessions_changed", "before {kind}");
        }
    }

    /// Reads until the stream has reached this number, including comments.
    pub async fn until_number(&mut self, number: i64) {
        while self.last_id < number {
            let block = timeout(TIMEOUT, self.read_block())
                .await
                .expect("the number in time");
            block.expect("an open stream");
        }
    }

    /// Reads all events until the stream is closed, which must happen right after its session's end.
    pub async fn until_closed(mut self) -> Vec<StreamEvent> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            let is_end = event.kind == "session_ended";
            all.push(event);
            if is_end {
                let rest = timeout(CLOSE_TIMEOUT, self.read_event());
                let rest = rest.await.expect("a stream closes with its session's end");
                assert_eq!(rest, None, "nothing follows the end of a session");
                break;
            }
        }
        all
    }

    async fn read_block(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.text.find("\n\n") {
                let block: String = self.text.drain(..at + 2).collect();
                if let Some(id) = block.lines().find_map(|line| line.strip_prefix("id:")) {
                    self.last_id = id.trim().parse().expect("a number");
                }
                return Some(block);
            }
            let chunk = self.body.next().await?;
            self.text += std::str::from_utf8(&chunk.expect("a chunk")).expect("text");
        }
    }
}
