//! Figures for those who collect them, as `OpenMetrics`.
//!
//! The counters are those of the supervisors, added up by the names of their servers; what a session that has ended had
//! counted stays in, so that they never fall while this monitor runs. Names beyond the first 200 are one.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::board::{API_STATES, Board, Figures, Now, TOKEN_STATES, Voices};
use super::health::VERSION;
use crate::ledger::{Histogram, LATENCY_BOUNDS, RECOVERY_BOUNDS};

/// What the answer calls itself.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What the names of all figures begin with.
const PREFIX: &str = "mcp_supervise";

/// All figures, as they were at one moment.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    active: u64,
    voices: Voices,
    figures: BTreeMap<String, Figures>,
    closed: BTreeMap<String, u64>,
    tokens: BTreeMap<String, [u64; 4]>,
    apis: BTreeMap<String, [u64; 4]>,
    websockets: u64,
}

impl Metrics {
    /// Those of this board, to which this many listen by WebSocket.
    pub(super) fn of(board: &Board, now: Now, websockets: usize) -> Self {
        Self {
            active: size(board.live().count()),
            voices: board.voices(now),
            figures: board.figures(),
            closed: board.closed().clone(),
            tokens: board.tokens(),
            apis: board.apis(),
            websockets: size(websockets),
        }
    }

    /// As text.
    ///
    /// # Errors
    /// Never, for it is written to a string.
    pub(super) fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }

    fn counters(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Count = fn(&Figures) -> u64;
        let counters: [(&str, &str, Option<Unit>, Count); 8] = [
            ("sessions_opened", "Sessions that were seen.", None, |figures| figures.opened),
            ("restarts", "Servers that were started after the first of their session.", None, |figures| {
                figures.restarts
            }),
            ("tool_calls", "Requests of hosts that call a tool.", None, |figures| figures.tool_calls),
            ("requests", "Requests of hosts.", None, |figures| figures.requests),
            ("errors", "Answers of servers that are errors.", None, |figures| figures.errors),
            ("noise_lines", "Lines on the stdout of servers that are no messages.", None, |figures| {
                figures.noise_lines
            }),
            ("to_server", "What was written to servers.", Some(Unit::Bytes), |figures| {
                figures.bytes_to_server
            }),
            ("to_host", "What was written to hosts.", Some(Unit::Bytes), |figures| figures.bytes_to_host),
        ];
        for (name, help, unit, count) in counters {
            let mut metric = to.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
            for (server, figures) in &self.figures {
                counter(&mut metric, &[("server", server)], count(figures))?;
            }
        }
        let help = "Answers that supervisors gave in place of servers.";
        let mut metric = to.encode_descriptor("guidance", help, None, MetricType::Counter)?;
        for (server, figures) in &self.figures {
            for (status, count) in &figures.guidance {
                counter(&mut metric, &[("server", server), ("status", status)], *count)?;
            }
        }
        let help = "Sessions that ended while they were seen.";
        let mut metric = to.encode_descriptor("sessions_closed", help, None, MetricType::Counter)?;
        for (reason, count) in &self.closed {
            counter(&mut metric, &[("reason", reason)], *count)?;
        }
        Ok(())
    }

    fn gauges(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric =
            to.encode_descriptor("sessions", "Sessions that are open.", None, MetricType::Gauge)?;
        gauge(&mut metric, &[("status", "active")], self.active)?;
        let help = "Supervisors by what is heard of them.";
        let mut metric = to.encode_descriptor("supervisors", help, None, MetricType::Gauge)?;
        let Voices { answering, silent, strange } = self.voices;
        for (state, count) in [("answering", answering), ("silent", silent), ("strange", strange)] {
            gauge(&mut metric, &[("state", state)], size(count))?;
        }
        let help = "Open sessions by the state of their token, where they have one.";
        let mut metric = to.encode_descriptor("token_state", help, None, MetricType::Gauge)?;
        for (server, counts) in &self.tokens {
            for (state, count) in TOKEN_STATES.iter().zip(counts) {
                gauge(&mut metric, &[("server", server), ("state", &state.to_string())], *count)?;
            }
        }
        let help =
            "Open sessions by what is known of the API behind their server, where they have a token for it.";
        let mut metric = to.encode_descriptor("api_state", help, None, MetricType::Gauge)?;
        for (server, counts) in &self.apis {
            for (state, count) in API_STATES.iter().zip(counts) {
                gauge(&mut metric, &[("server", server), ("state", &state.to_string())], *count)?;
            }
        }
        let help = "WebSockets that this monitor serves.";
        let mut metric = to.encode_descriptor("monitor_websockets", help, None, MetricType::Gauge)?;
        metric.encode_gauge(&self.websockets)
    }

    fn histograms(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "From the arrival of a request to its answer.";
        let mut metric =
            to.encode_descriptor("request", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (server, figures) in &self.figures {
            histogram(&mut metric, server, &figures.latency, &LATENCY_BOUNDS)?;
        }
        let help = "From the end of a server to the greeting of its successor.";
        let mut metric =
            to.encode_descriptor("recovery", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (server, figures) in &self.figures {
            histogram(&mut metric, server, &figures.recovery, &RECOVERY_BOUNDS)?;
        }
        Ok(())
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric =
            encoder.encode_descriptor("build", "The release of this monitor.", None, MetricType::Info)?;
        metric.encode_info(&[("version", VERSION)])?;
        self.gauges(&mut encoder)?;
        self.counters(&mut encoder)?;
        self.histograms(&mut encoder)
    }
}

type NoExemplar = Option<&'static Exemplar<NoLabelSet, f64>>;

fn counter(metric: &mut MetricEncoder<'_>, labels: &[(&str, &str)], count: u64) -> fmt::Result {
    metric.encode_family(&labels)?.encode_counter(&count, None as NoExemplar)
}

fn gauge(metric: &mut MetricEncoder<'_>, labels: &[(&str, &str)], count: u64) -> fmt::Result {
    metric.encode_family(&labels)?.encode_gauge(&count)
}

/// The encoder adds the buckets up itself.
fn histogram(
    metric: &mut MetricEncoder<'_>,
    server: &str,
    histogram: &Histogram,
    bounds: &[f64; 12],
) -> fmt::Result {
    let beyond = histogram.count.saturating_sub(histogram.buckets.iter().sum());
    let within = bounds.iter().copied().zip(histogram.buckets);
    let buckets: Vec<(f64, u64)> = within.chain([(f64::INFINITY, beyond)]).collect();
    let labels = [("server", server)];
    let mut metric = metric.encode_family(&labels)?;
    metric.encode_histogram::<NoLabelSet>(histogram.sum, histogram.count, &buckets, None)
}

fn size(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
