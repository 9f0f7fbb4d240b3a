//! Loads that look like production's, ready to use.
//!
//! Each names the series of a target, the target's labels, and how long targets live. Invariant:
//! two targets that exist at the same time differ in their labels.

mod hosts;
mod pods;

use super::churn::{Incarnation, Life, Place};
use super::series::{Catalogue, Pairs};
use crate::seed::Seed;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// A ready-made load.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Preset {
    /// Services in pods: 11 labels, about 300 bytes a sample, 1,000 series a target, every 10 s.
    Kubernetes,
    /// Hosts with node_exporter: 500 series a target, every 15 s.
    NodeFleet,
    /// Services that mostly have histograms, classic and native: 600 series a target, every 15 s.
    HttpHistograms,
    /// Short-lived pods and frequent deploys: 200 series a target, every 10 s.
    HighChurn,
}

/// What a preset says that arguments may change.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Defaults {
    /// Series of a target.
    pub series_per_target: u32,
    /// Milliseconds between two samples of a series.
    pub interval: i64,
    /// Services, spread over the targets.
    pub services: u32,
    /// Namespaces, spread over the services.
    pub namespaces: u32,
    /// How long targets live.
    pub life: Life,
}

impl Preset {
    /// What holds unless arguments say otherwise.
    pub fn defaults(self) -> Defaults {
        let lasting = Life { pod: None, deploy: None, rollout: 5 * MINUTE, restart: 12 * HOUR };
        let services = Defaults {
            series_per_target: 1000,
            interval: 10_000,
            services: 40,
            namespaces: 12,
            life: lasting,
        };
        match self {
            Self::Kubernetes => services,
            Self::NodeFleet => Defaults {
                series_per_target: 500,
                interval: 15_000,
                services: 1,
                namespaces: 6,
                life: Life { restart: 24 * 30 * HOUR, ..lasting },
            },
            Self::HttpHistograms => {
                Defaults { series_per_target: 600, interval: 15_000, ..services }
            }
            Self::HighChurn => Defaults {
                series_per_target: 200,
                life: Life { pod: Some(10 * MINUTE), deploy: Some(30 * MINUTE), ..lasting },
                ..services
            },
        }
    }

    /// The series of a target.
    pub fn catalogue(self, most: usize) -> Catalogue {
        match self {
            Self::Kubernetes | Self::HighChurn => pods::services(most),
            Self::HttpHistograms => pods::histograms(most),
            Self::NodeFleet => hosts::node_exporter(most),
        }
    }

    /// Labels of a target, in no order. `namespaces`: how many there are.
    pub fn target(self, seed: Seed, namespaces: u32, place: Place, who: Incarnation) -> Pairs {
        match self {
            Self::NodeFleet => hosts::target(namespaces, place, who),
            Self::Kubernetes | Self::HighChurn | Self::HttpHistograms => {
                pods::target(seed, namespaces, place, who)
            }
        }
    }
}
