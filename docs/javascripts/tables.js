// Marks tables of keys and fields, which the style sheet shows row by row where they are too wide: on telephones.
for (const table of document.querySelectorAll("table:not([class])")) {
  const heads = [...table.querySelectorAll("th")].map((head) => head.textContent.trim());
  if (heads.length === 4 && heads[2] === "default" && heads[3] === "meaning") table.dataset.rows = "fields";
}
