"""An author's tools: chapters, the notebooks and keys derived from them, recorded runs."""
