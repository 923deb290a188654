//! Traces for an OpenTelemetry collector: a span a request, with what it waited for in the database. Off unless a collector is
//! named.
//!
//! Attributes are set one by one here, and nothing else gets into a span: no path, no query, no person, no statement.
//! Spans are handed over without waiting and sent by a thread of the exporter's own; while the collector is away they
//! are thrown away.

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

use super::metrics::of_method;
use crate::server::config::TraceSettings;

/// How long the collector may take for what it is sent.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the last spans may take when the server stops.
const LAST_SPANS: Duration = Duration::from_secs(1);

/// Traces requests, or does not. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<Tracing>>);

#[derive(Debug)]
struct Tracing {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Begins to trace if a collector is named. Needs a runtime around it, which is to outlive what is begun.
    ///
    /// # Errors
    /// One of the exporter's own variables (`OTEL_EXPORTER_OTLP_*`) does not fit.
    pub fn begin(settings: Option<&TraceSettings>) -> Result<Self, ExporterBuildError> {
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
            .with_http_client(Courier {
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
        // The sampler is the one that OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG name.
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("broker-portal");
        Ok(Self(Some(Arc::new(Tracing { provider, tracer }))))
    }

    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// The span of a request, as part of the trace that the request says it belongs to.
    pub fn request(
        &self,
        method: &Method,
        route: Option<&str>,
        id: &str,
        headers: &HeaderMap,
    ) -> RequestTrace {
        let Some(tracing) = &self.0 else {
            return RequestTrace(Context::new());
        };
        let method = of_method(method);
        let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
        let mut attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("portal.request_id", id.to_owned()),
        ];
        attributes.extend(route.map(|route| KeyValue::new("http.route", route.to_owned())));
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Parent(headers));
        let span = tracing
            .tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .with_attributes(attributes)
            .start_with_context(&tracing.tracer, &parent);
        RequestTrace(Context::new().with_span(span).with_value(tracing.tracer.clone()))
    }

    /// Hands over what there is, and ends. False: not all of it got there in time.
    pub async fn end(&self) -> bool {
        let Some(tracing) = self.0.clone() else {
            return true;
        };
        // It waits as threads do.
        let ended = tokio::task::spawn_blocking(move || tracing.provider.shutdown_with_timeout(LAST_SPANS));
        matches!(ended.await, Ok(Ok(())))
    }

    /// Hands over what there is.
    pub async fn flush(&self) -> bool {
        let Some(tracing) = self.0.clone() else {
            return true;
        };
        let flushed = tokio::task::spawn_blocking(move || tracing.provider.force_flush());
        matches!(flushed.await, Ok(Ok(())))
    }
}

/// A request under way. What is done within [`RequestTrace::context`] is part of it.
#[derive(Debug)]
pub struct RequestTrace(Context);

impl RequestTrace {
    pub fn context(&self) -> Context {
        self.0.clone()
    }

    /// The trace's id, for the log.
    pub fn id(&self) -> Option<String> {
        let span = self.0.span();
        let context = span.span_context();
        context.is_valid().then(|| context.trace_id().to_string())
    }

    /// The request was answered; its span ends.
    pub fn answered(&self, status: StatusCode) {
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

/// A part of the request in whose context this is called, until it is dropped. Nothing outside of one.
pub fn part(name: &'static str) -> Part {
    Part(Context::map_current(|context| {
        let tracer = context.get::<SdkTracer>()?;
        context
            .span()
            .is_recording()
            .then(|| tracer.start_with_context(name, context))
    }))
}

/// A part of a request.
#[derive(Debug)]
#[must_use = "it lasts until it is dropped"]
pub struct Part(Option<opentelemetry_sdk::trace::Span>);

impl Part {
    /// The transaction was committed.
    pub fn committed(&mut self) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("db.committed", true));
        }
    }
}

/// Of what a request says about its trace, only which one it belongs to: `tracestate` is anyone's text.
struct Parent<'a>(&'a HeaderMap);

impl Extractor for Parent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == "traceparent").then(|| self.0.get(key)?.to_str().ok())?
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

/// Takes spans to the collector. The exporter's thread is none of the runtime's, which the client needs.
#[derive(Debug)]
struct Courier {
    client: HyperClient<HttpsConnector<HttpConnector>>,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Courier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self
            .runtime
            .spawn(async move { client.send_bytes(request).await });
        sent.await?
    }
}
