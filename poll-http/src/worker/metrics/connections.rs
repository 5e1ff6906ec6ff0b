//! Connections by the engine that serves them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The engine that serves a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// HTTP/1.1 without hyper.
    Fast,
    /// HTTP/1.
    Hyper,
    /// HTTP/2.
    H2,
}

/// How many connections each engine serves, and how often one took over from another.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    served: Family<EngineLabel, Gauge>,
    /// By [`Engine`].
    gauges: [Gauge; 3],
    switches: Family<EngineLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EngineLabel {
    engine: &'static str,
}

/// Counts one connection for as long as it lives.
#[derive(Debug)]
pub(crate) struct Served(Gauge);

impl Engine {
    const ALL: [Self; 3] = [Self::Fast, Self::Hyper, Self::H2];

    fn label(self) -> EngineLabel {
        let engine = match self {
            Self::Fast => "fast",
            Self::Hyper => "hyper",
            Self::H2 => "h2",
        };
        EngineLabel { engine }
    }
}

impl Connections {
    pub(super) fn new() -> Self {
        let (served, switches) = (Family::default(), Family::<EngineLabel, Counter>::default());
        let gauges = Engine::ALL.map(|engine| served.get_or_create_owned(&engine.label()));
        // At zero from the start, so that a graph shows the first switch as a step.
        for engine in [Engine::Fast, Engine::Hyper] {
            let _ = switches.get_or_create_owned(&engine.label());
        }
        Self { served, gauges, switches }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Open connections by the engine that serves them";
        registry.register("poll_connections", help, self.served.clone());
        let help = "HTTP/1.1 connections that an engine took over from the other";
        registry.register("poll_engine_switches", help, self.switches.clone());
    }

    /// An engine serves a connection.
    pub(crate) fn serve(&self, engine: Engine) -> Served {
        let gauge = self.gauges[engine as usize].clone();
        gauge.inc();
        Served(gauge)
    }

    /// Another engine takes a connection over.
    pub(crate) fn switch(&self, served: &mut Served, engine: Engine) {
        *served = self.serve(engine);
        self.switches.get_or_create(&engine.label()).inc();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.dec();
    }
}
