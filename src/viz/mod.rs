//! Token maps and curves as PNG and HTML.
