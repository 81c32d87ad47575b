//! TO DO
