// Equations that are wider than the page are made smaller until they fit.
function fit() {
  for (const formula of document.querySelectorAll(".equation .formula")) {
    const inner = formula.firstElementChild;
    inner.style.fontSize = "";
    const ratio = formula.clientWidth / formula.scrollWidth;
    if (ratio < 1) inner.style.fontSize = `${Math.max(0.5, ratio * 0.99)}em`;
  }
}
addEventListener("resize", fit);
document.fonts.ready.then(fit);
fit();
