//! What an operator takes from `deploy/` works: every file there is read by the program that it is
//! for, every command line is taken by the real binary, every query finds what it asks for.
//!
//! Invariant: what cannot be run here (Docker, a Kubernetes cluster, Grafana) is checked by its
//! structure, and `docs/OPERATIONS.md` says so. Deliberately not here: what the programs do once they
//! run, which is what all other tests are about.

mod alerts;
mod commands;
mod compose;
mod dashboards;
mod examples;
mod files;
mod image;
mod kubernetes;
mod kustomize;
mod live;
mod queries;
mod runbooks;
mod stage;
mod units;
mod workloads;
