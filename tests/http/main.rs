//! What callers of the routes see: a real plugin on a database of its own, asked by Rocket's local
//! client.

mod contract;
mod control;
mod health;
mod hosting;
mod idempotency;
mod input;
mod life;
mod openapi;
mod origin;
mod problems;
mod rights;
mod shop;
mod unplanned;
