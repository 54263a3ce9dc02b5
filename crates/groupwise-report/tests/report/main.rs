//! Reports end to end: folders written by hand or simulated, read, reduced, rendered.

mod numbers;
mod reading;
mod rendering;
mod reproduction;
mod small;
mod synthetic;
