//! What callers of the routes see: a real plugin on a database of its own, asked by Rocket's local client.

mod contract;
mod health;
mod hosting;
mod input;
mod life;
mod once;
mod openapi;
mod origin;
mod problems;
mod rights;
mod shop;
mod steering;
mod unplanned;
