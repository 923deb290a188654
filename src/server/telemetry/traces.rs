//! Traces for an OpenTelemetry collector: one span per request, with child spans for database work. Off unless a
//! collector is configured.
//!
//! Attributes are set one by one here, so that spans contain no paths, queries, users or statements. Spans are queued
//! without waiting and sent by the exporter's own thread. They are dropped while the collector is unreachable.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::http::{HeaderMap, Method, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{Span, SpanKind, Status, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response, hyper::HyperClient};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider},
};
use tokio::runtime::Handle;

use super::metrics::method_label;
use crate::server::config::TraceSettings;

/// Time limit for an export.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit for the last spans when the server stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Creates spans of requests, or does nothing. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<Tracing>>);

#[derive(Debug)]
struct Tracing {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Starts tracing if a collector is configured. The current Tokio runtime must outlive it.
    ///
    /// # Errors
    /// A variable of the exporter (`OTEL_EXPORTER_OTLP_*`) is invalid.
    pub fn start(settings: Option<&TraceSettings>) -> Result<Self, ExporterBuildError> {
        let Some(settings) = settings else {
            return Ok(Self(None));
        };
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(SpanSender {
                client: HyperClient::new(connector, EXPORT_TIMEOUT, None),
                runtime: Handle::current(),
            })
            .with_endpoint(&settings.endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        let resource = Resource::builder()
            .with_service_name(settings.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        // `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` select the sampler.
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("broker-portal");
        Ok(Self(Some(Arc::new(Tracing { provider, tracer }))))
    }

    pub fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Starts the span of a request, in the trace that its `traceparent` names.
    pub fn start_request(
        &self,
        method: &Method,
        route: Option<&str>,
        id: &str,
        headers: &HeaderMap,
    ) -> RequestSpan {
        let Some(tracing) = &self.0 else {
            return RequestSpan(Context::new());
        };
        let method = method_label(method);
        let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
        let mut attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("portal.request_id", id.to_owned()),
        ];
        attributes.extend(route.map(|route| KeyValue::new("http.route", route.to_owned())));
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &ParentHeaders(headers));
        let span = tracing
            .tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .with_attributes(attributes)
            .start_with_context(&tracing.tracer, &parent);
        RequestSpan(Context::new().with_span(span).with_value(tracing.tracer.clone()))
    }

    /// Exports pending spans and stops. `false`: not all were exported in time.
    pub async fn shut_down(&self) -> bool {
        let Some(tracing) = self.0.clone() else {
            return true;
        };
        // The shutdown blocks its thread.
        let ended =
            tokio::task::spawn_blocking(move || tracing.provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT));
        matches!(ended.await, Ok(Ok(())))
    }

    /// Exports pending spans.
    pub async fn flush(&self) -> bool {
        let Some(tracing) = self.0.clone() else {
            return true;
        };
        let flushed = tokio::task::spawn_blocking(move || tracing.provider.force_flush());
        matches!(flushed.await, Ok(Ok(())))
    }
}

/// The span of a request. Work within [`RequestSpan::context`] becomes part of it.
#[derive(Debug)]
pub struct RequestSpan(Context);

impl RequestSpan {
    pub fn context(&self) -> Context {
        self.0.clone()
    }

    /// Returns the trace id for the log.
    pub fn id(&self) -> Option<String> {
        let span = self.0.span();
        let context = span.span_context();
        context.is_valid().then(|| context.trace_id().to_string())
    }

    /// Records the response and ends the span.
    pub fn finish(&self, status: StatusCode) {
        let span = self.0.span();
        span.set_attribute(KeyValue::new(
            "http.response.status_code",
            i64::from(status.as_u16()),
        ));
        if status.is_server_error() {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// Starts a child span of the current request, which ends when dropped. Does nothing outside a request.
pub fn start_child(name: &'static str) -> ChildSpan {
    ChildSpan(Context::map_current(|context| {
        let tracer = context.get::<SdkTracer>()?;
        context
            .span()
            .is_recording()
            .then(|| tracer.start_with_context(name, context))
    }))
}

/// A child span of a request.
#[derive(Debug)]
#[must_use = "it lasts until it is dropped"]
pub struct ChildSpan(Option<opentelemetry_sdk::trace::Span>);

impl ChildSpan {
    /// Records that the transaction was committed.
    pub fn mark_committed(&mut self) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("db.committed", true));
        }
    }
}

/// Reads only `traceparent` of a request: `tracestate` is arbitrary text.
struct ParentHeaders<'a>(&'a HeaderMap);

impl Extractor for ParentHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == "traceparent").then(|| self.0.get(key)?.to_str().ok())?
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

/// Sends spans to the collector. Runs on the exporter's own thread, but its HTTP client needs the Tokio runtime.
#[derive(Debug)]
struct SpanSender {
    client: HyperClient<HttpsConnector<HttpConnector>>,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for SpanSender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self
            .runtime
            .spawn(async move { client.send_bytes(request).await });
        sent.await?
    }
}
