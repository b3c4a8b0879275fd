//! The whole program from outside: one test binary, one module per theme.

mod kill;
mod layouts;
mod messages;
mod rooms;
mod runs;
mod sets;
mod settings;
mod slt;
mod support;
mod tree;
