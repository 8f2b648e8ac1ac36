//! Mock kernel (being written).
