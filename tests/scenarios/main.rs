//! Scenarios over every workflow, on a machine in memory.
