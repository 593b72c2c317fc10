// The CSRF token stands once on the page: in the body's hx-headers, or in any form where there is no htmx.
export function csrfToken() {
  const headers = document.body.getAttribute("hx-headers");
  if (headers) return JSON.parse(headers)["X-CSRFToken"] ?? "";
  return document.querySelector("input[name=csrfmiddlewaretoken]")?.value ?? "";
}
