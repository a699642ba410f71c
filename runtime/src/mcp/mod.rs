//! The wire: MCP revisions, errors to wire, metadata endpoints.
