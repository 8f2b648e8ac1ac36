//! What the operator knows of the nodes: their agents' signs of life, and what they can take.

pub mod heartbeat;
pub mod view;
