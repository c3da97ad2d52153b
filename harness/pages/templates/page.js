"use strict";
const pageData = () => JSON.parse(document.getElementById("page-data").textContent);

const themed = () => {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  const [ink, quiet, line, grid] = ["--ink", "--quiet", "--line", "--grid"].map(value);
  return {
    axis: { labelColor: ink, titleColor: ink, domainColor: quiet, tickColor: quiet, gridColor: grid },
    legend: { labelColor: ink, titleColor: ink },
    header: { labelColor: ink, titleColor: ink },
    title: { color: ink, subtitleColor: quiet },
    text: { color: ink },
  };
};

const readChartScript = () => {
  if (window.vegaEmbed) return;
  const script = document.createElement("script");
  script.textContent = document.getElementById("chart-script").textContent;
  document.head.append(script);
};

const drawChart = async (element) => {
  readChartScript();
  const specification = JSON.parse(document.getElementById(`chart-${element.dataset.chart}`).textContent);
  const own = specification.config;
  delete specification.config;
  const config = { ...own };
  for (const [part, values] of Object.entries(themed())) config[part] = { ...own[part], ...values };
  const drawn = await vegaEmbed(element, specification, { actions: false, renderer: "svg", config });
  // A page that changes the data of a chart listens for its view.
  element.dispatchEvent(new CustomEvent("chartdrawn", { bubbles: true, detail: drawn.view }));
};

// A chart is drawn when it comes near the screen, so a page with many charts opens at once.
const nearby = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { nearby.unobserve(entry.target); drawChart(entry.target); }
}, { rootMargin: "400px" });
const drawCharts = () => document.querySelectorAll("[data-chart]").forEach((element) => {
  nearby.unobserve(element);
  nearby.observe(element);
});

const setTheme = (theme) => { document.documentElement.dataset.theme = theme; };
const dark = matchMedia("(prefers-color-scheme: dark)");
setTheme(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => { setTheme(dark.matches ? "dark" : "light"); drawCharts(); });
document.getElementById("theme").addEventListener("click", () => {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  drawCharts();
  document.dispatchEvent(new Event("themechange"));
});
drawCharts();
