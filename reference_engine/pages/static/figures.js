// Days and hours in the reader's own time zone: it is given to the server with the next request.
"use strict";
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const field = document.querySelector("[data-zone]");
  if (!field || !zone || field.value) return;
  field.value = zone;
  const address = new URL(location.href);
  if (!address.searchParams.has("zone") && zone !== "UTC") {
    address.searchParams.set("zone", zone);
    location.replace(address);
  }
})();
