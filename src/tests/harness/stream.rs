//! A client that listens to its session's events.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::time::timeout;

/// So long may an event take on a machine that is busy with other tests. Nothing is measured by it.
const TIMEOUT: Duration = Duration::from_secs(20);

/// So long after `session_ended` a stream may still be open: well before the next beat (15 s) that would end it anyhow.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);

/// What a stream says when nothing happens.
const HEARTBEAT: &str = "heartbeat";

/// One event as it came.
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
    /// The number of the last event, where a client would resume.
    pub last_id: i64,
}

impl EventStream {
    /// The stream of an answer that has begun, read up to its greeting.
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

    /// The next event but for beats. `None`: the stream was closed.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        // Beats come all the time: they are not what is waited for.
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

    /// The next beat, as it came. Whatever comes before it is left out.
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

    /// The next event of that kind. The list may change at any time: a sign-in just before is told a little late.
    pub async fn next_of_kind(&mut self, kind: &str) -> StreamEvent {
        loop {
            let event = self.next().await.expect("an open stream");
            if event.kind == kind {
                return event;
            }
            assert_eq!(event.kind, "sessions_changed", "before {kind}");
        }
    }

    /// Reads on, comments too, until the stream has come to that number.
    pub async fn until_number(&mut self, number: i64) {
        while self.last_id < number {
            let block = timeout(TIMEOUT, self.read_block())
                .await
                .expect("the number in time");
            block.expect("an open stream");
        }
    }

    /// Everything until the stream is closed, which it has to be right after its session's end.
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
