"""Pages and charts that people look at: one self-contained HTML file each, and the same charts as SVG and PNG."""
