"""Pictures of dependencies as SVG: one module for each view, each a function of `GraphFacts`. Reads no database."""
