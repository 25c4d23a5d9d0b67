// Shows the document that lies beside this folder. The page's policy allows no script within the
// page, hence this file.
SwaggerUIBundle({
  url: new URL("../openapi.json", document.currentScript.src).href,
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
});
