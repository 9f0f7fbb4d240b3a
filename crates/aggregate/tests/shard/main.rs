//! The state machine from outside: driven as the gateway drives it, compared with what the
//! specification says.

#[cfg(test)]
mod alike;
#[cfg(test)]
mod edges;
#[cfg(test)]
mod ha;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod model;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod tier;
#[cfg(test)]
mod twin;
