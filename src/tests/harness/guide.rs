//! Runs the commands of a Markdown guide in order and compares their output with what the guide shows.
//!
//! - A block of `sh` runs in one bash for the whole guide and must succeed.
//! - A block of `http` or `text` after it shows the output.
//! - A heading ``### `POST /api/v1/sessions`: ...`` names the operation that the blocks below it call.
//! - A comment `<!-- meanwhile: ... -->` makes the test do what a reader would wait for.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, timeout_at},
};

/// Time limit of a block, on a machine that is busy with other tests.
const TIMEOUT: Duration = Duration::from_secs(60);

/// One step of a guide.
#[derive(Clone, Debug, PartialEq)]
pub enum GuideStep {
    /// The operation that the following blocks call, such as `GET /api/v1/sessions`, or none.
    Operation(Option<String>),
    Meanwhile(String),
    Run(Block),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Line in the guide.
    pub line: usize,
    pub commands: String,
    pub shows: Option<ExpectedOutput>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExpectedOutput {
    /// Output of `curl -i`.
    Http(String),
    /// Lines in this order, with or without others between them.
    Text(String),
}

/// Parses a guide.
pub fn parse_guide(guide: &str) -> Vec<GuideStep> {
    let mut steps = Vec::new();
    let mut lines = guide.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<&str> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != "```")
                .collect();
            let text = block.join("\n");
            let shows = match language {
                "sh" => {
                    steps.push(GuideStep::Run(Block {
                        line: index + 1,
                        commands: text,
                        shows: None,
                    }));
                    continue;
                }
                "http" => ExpectedOutput::Http(text),
                "text" => ExpectedOutput::Text(text),
                other => panic!("line {}: a block of {other:?}", index + 1),
            };
            match steps.last_mut() {
                Some(GuideStep::Run(block)) if block.shows.is_none() => block.shows = Some(shows),
                _ => panic!("line {}: a response to no command", index + 1),
            }
        } else if let Some(heading) = line.strip_prefix("## ").or(line.strip_prefix("### ")) {
            let operation = heading.strip_prefix('`').and_then(|rest| rest.split_once('`'));
            steps.push(GuideStep::Operation(operation.map(|(name, _)| name.to_owned())));
        } else if let Some(what) = line.strip_prefix("<!-- meanwhile: ") {
            steps.push(GuideStep::Meanwhile(what.trim_end_matches(" -->").to_owned()));
        }
    }
    steps
}

/// One bash that keeps its variables between blocks.
pub struct Shell {
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    _bash: Child,
}

impl Shell {
    /// Starts bash, which stops at the first failed command and at unset variables.
    pub async fn open(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let mut bash = Command::new("bash")
            .args(["-eu", "-o", "pipefail"])
            .envs(variables.iter().copied())
            // Ignore the user's settings of curl.
            .env("CURL_HOME", folder)
            .env("NO_PROXY", "*")
            .env("TMPDIR", folder)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("bash");
        let mut stdin = bash.stdin.take().expect("piped");
        stdin.write_all(b"exec 2>&1\n").await.expect("bash listens");
        let stdout = BufReader::new(bash.stdout.take().expect("piped")).lines();
        Self {
            stdin,
            stdout,
            _bash: bash,
        }
    }

    /// Runs commands and returns their output. `Err`: the output so far, if a command failed or timed out.
    pub async fn run(&mut self, commands: &str) -> Result<String, String> {
        const DONE: &str = "--- this block is done ---";
        let script = format!("{commands}\nprintf '\\n%s\\n' '{DONE}'\n");
        let mut printed = Vec::new();
        if self.stdin.write_all(script.as_bytes()).await.is_ok() {
            // One deadline for the block: a loop that prints forever must end as well.
            let deadline = Instant::now() + TIMEOUT;
            while let Ok(Ok(Some(line))) = timeout_at(deadline, self.stdout.next_line()).await {
                if line == DONE {
                    return Ok(printed.join("\n"));
                }
                printed.push(line.trim_end_matches('\r').to_owned());
            }
        }
        Err(printed.join("\n"))
    }
}

impl ExpectedOutput {
    /// Compares output with the guide. Ids, times, the numbers in [`VARIABLE_FIELDS`] and `...` may differ.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(&self, printed: &str) -> Result<(), String> {
        match self {
            ExpectedOutput::Http(shown) => check_http(shown, printed),
            ExpectedOutput::Text(shown) => {
                let mut lines = printed.lines();
                for wanted in shown.lines().filter(|line| !line.is_empty()) {
                    if !lines.any(|line| is_text_match(wanted, line)) {
                        return Err(format!("no line is like {wanted:?} where it is due"));
                    }
                }
                Ok(())
            }
        }
    }
}

/// Numbers that increase or decrease with time.
const VARIABLE_FIELDS: [&str; 5] = [
    "event_number",
    "expires_in",
    "retry_after_seconds",
    "/id",
    "/next",
];

fn check_http(shown: &str, printed: &str) -> Result<(), String> {
    let (shown_head, shown_body) = shown.split_once("\n\n").unwrap_or((shown, ""));
    let (head, body) = printed
        .split_once("\n\n")
        .ok_or_else(|| "that is no response of curl -i".to_owned())?;
    let status = |head: &str| head.split_whitespace().nth(1).map(str::to_owned);
    if status(shown_head) != status(head) {
        return Err(format!("status: {:?}, and not as shown", status(head)));
    }
    for line in shown_head.lines().skip(1) {
        let (name, value) = line
            .split_once(": ")
            .ok_or_else(|| format!("{line:?} is no header"))?;
        let mut given = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        if !given.any(|(given, text)| given.eq_ignore_ascii_case(name) && is_text_match(value, text)) {
            return Err(format!("no header is like {line:?}"));
        }
    }
    match (shown_body.trim(), body.trim()) {
        ("", "") => Ok(()),
        ("", _) => Err("a body, and none is shown".to_owned()),
        (shown, body) => {
            let shown: Value = shown
                .parse()
                .map_err(|error| format!("shown is no JSON: {error}"))?;
            let body: Value = body
                .parse()
                .map_err(|error| format!("what came is no JSON: {error}"))?;
            check_value("", &shown, &body)
        }
    }
}

fn check_value(at: &str, shown: &Value, given: &Value) -> Result<(), String> {
    let differs = || Err(format!("{at}: {given}, and shown is {shown}"));
    match (shown, given) {
        (Value::Object(shown), Value::Object(given)) => {
            if let Some(name) = given.keys().find(|name| !shown.contains_key(*name)) {
                return Err(format!("{at}/{name} is not shown"));
            }
            shown.iter().try_for_each(|(name, shown)| match given.get(name) {
                Some(given) => check_value(&format!("{at}/{name}"), shown, given),
                None => Err(format!("{at}/{name} is shown and did not come")),
            })
        }
        // A list may contain more.
        (Value::Array(shown), Value::Array(given)) if shown.len() <= given.len() => {
            let mut pairs = shown.iter().zip(given).enumerate();
            pairs.try_for_each(|(index, (shown, given))| check_value(&format!("{at}/{index}"), shown, given))
        }
        (Value::String(shown), Value::String(given)) if is_text_match(shown, given) => Ok(()),
        (Value::Number(_), Value::Number(_)) if VARIABLE_FIELDS.iter().any(|name| at.ends_with(name)) => {
            Ok(())
        }
        _ if shown == given => Ok(()),
        _ => differs(),
    }
}

/// Compares text. Ids, times and whole numbers may differ in value; `...` matches any text.
fn is_text_match(shown: &str, given: &str) -> bool {
    if let Some((before, after)) = shown.split_once("...") {
        return given.len() >= before.len() + after.len()
            && given.starts_with(before)
            && given.ends_with(after);
    }
    let words = |text: &str| -> Vec<String> {
        let words = text.split_inclusive([' ', '"', ',']);
        words.map(str::to_owned).collect()
    };
    let (shown_words, given_words) = (words(shown), words(given));
    shown_words.len() == given_words.len()
        && shown_words.iter().zip(&given_words).all(|(shown, given)| {
            let bare = |word: &str| word.trim_end_matches([' ', '"', ',']).to_owned();
            is_word_match(&bare(shown), &bare(given))
        })
}

fn is_word_match(shown: &str, given: &str) -> bool {
    let is_id = |text: &str| text.parse::<uuid::Uuid>().is_ok();
    let is_time = |text: &str| text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok();
    let is_number = |text: &str| text.parse::<u64>().is_ok();
    shown == given
        || [is_id, is_time, is_number]
            .iter()
            .any(|is| is(shown) && is(given))
}
