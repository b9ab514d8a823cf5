"""Charts of a study in Vega-Altair: one chart a file. A page, a notebook, a README and a paper show the same specification."""
