//! One operation of the document. The types of a handler's signature add their parts to it.

use rocket::http::Status;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// An argument of a handler. It describes which part of the request it reads, and how that part can
/// be refused.
///
/// ```text
/// impl Input for IfMatch {
///     fn describe(_: &str, operation: &mut Operation<'_>) {
///         operation.header::<String>("If-Match", "Change the batch only if it still has this version.");
///         operation.problem("The batch has another version.", &Problem::plain(Status::PreconditionFailed));
///     }
/// }
/// ```
pub(in crate::http) trait Input {
    /// Describes the argument `name`.
    fn describe(name: &str, operation: &mut Operation<'_>);
}

/// The return type of a handler. It describes each status and its body.
pub(in crate::http) trait Output {
    fn describe(operation: &mut Operation<'_>);
}

impl<T: Output, E: Output> Output for Result<T, E> {
    fn describe(operation: &mut Operation<'_>) {
        T::describe(operation);
        E::describe(operation);
    }
}

/// A problem document that serves as an example in the description of a status.
pub(in crate::http) trait ProblemExample: JsonSchema + Serialize {
    fn status(&self) -> Status;
    fn title(&self) -> &'static str;
    /// The header that every problem with this status has.
    fn header(&self) -> Option<ProblemHeader>;
}

/// A header of a problem response, with its description for the document.
pub(in crate::http) struct ProblemHeader {
    pub name: &'static str,
    pub value: &'static str,
    pub description: &'static str,
    /// The JSON Schema type of its value.
    pub json_type: &'static str,
}

/// An operation that is being built.
pub(in crate::http) struct Operation<'a> {
    input: &'a mut SchemaGenerator,
    output: &'a mut SchemaGenerator,
    members: Map<String, Value>,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
}

impl<'a> Operation<'a> {
    pub(in crate::http) fn new(input: &'a mut SchemaGenerator, output: &'a mut SchemaGenerator) -> Self {
        Self { input, output, members: Map::new(), parameters: Vec::new(), responses: Map::new() }
    }

    pub(in crate::http) fn finish(mut self) -> Value {
        if !self.parameters.is_empty() {
            self.set("parameters", self.parameters.clone());
        }
        self.set("responses", self.responses.clone());
        self.members.into()
    }

    fn set(&mut self, member: &str, value: impl Into<Value>) {
        self.members.insert(member.to_owned(), value.into());
    }

    /// Sets the operation id from the name of the handler, and the texts from its `///` lines: the
    /// first paragraph is the summary, the rest the description.
    pub(in crate::http) fn prose(&mut self, handler: &str, lines: &[&str]) {
        let text = lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n");
        let (summary, description) = text.split_once("\n\n").unwrap_or((&text, ""));
        self.set("operationId", camel_case(handler));
        self.set("summary", summary.replace('\n', " "));
        if !description.is_empty() {
            self.set("description", description);
        }
    }

    pub(in crate::http) fn tag(&mut self, tag: &str) {
        self.set("tags", vec![tag]);
    }

    /// Requires the security scheme with this name.
    pub(in crate::http) fn security(&mut self, scheme: &str) {
        self.set("security", json!([{ scheme: [] }]));
    }

    /// Adds the required path parameter `name`.
    pub(in crate::http) fn path<T: JsonSchema>(&mut self, name: &str, description: &str) {
        let schema = self.input.subschema_for::<T>().to_value();
        self.parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": description, "schema": schema,
        }));
    }

    /// Adds the fields of `T` as optional query parameters.
    pub(in crate::http) fn query<T: JsonSchema>(&mut self) {
        // Uses the fields only: the form as a whole is not a schema of the document.
        let mut form = T::json_schema(self.input).to_value();
        for (name, schema) in form.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
            let mut schema = never_null(schema.take());
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            self.parameters.push(json!({ "name": name, "in": "query", "description": description, "schema": schema }));
        }
    }

    /// Adds an optional header.
    pub(in crate::http) fn header<T: JsonSchema>(&mut self, name: &str, description: &str) {
        let schema = self.input.subschema_for::<T>().to_value();
        self.parameters.push(json!({ "name": name, "in": "header", "description": description, "schema": schema }));
    }

    /// Sets the required JSON body.
    pub(in crate::http) fn body<T: JsonSchema>(&mut self, required: bool) {
        let schema = self.input.subschema_for::<T>();
        self.set(
            "requestBody",
            json!({ "required": required, "content": { "application/json": { "schema": schema } } }),
        );
    }

    /// Adds a response with a JSON body.
    pub(in crate::http) fn json_response<T: JsonSchema>(&mut self, status: Status, description: &str) {
        let schema = self.output.subschema_for::<T>().to_value();
        let media = media_type(self.response(status, description), "application/json");
        media.insert("schema".to_owned(), schema);
    }

    /// Adds a response of text of this media type.
    #[cfg(feature = "prometheus")]
    pub(in crate::http) fn text_response(&mut self, name: &str, description: &str) {
        let media = media_type(self.response(Status::Ok, description), name);
        media.insert("schema".to_owned(), json!({ "type": "string" }));
    }

    /// Adds a response of Server-Sent Events, whose data is usually a `T` as JSON.
    pub(in crate::http) fn event_response<T: JsonSchema>(&mut self, description: &str) {
        // OpenAPI 3.1 can't describe single events. This only adds the schema of their data.
        self.output.subschema_for::<T>();
        let media = media_type(self.response(Status::Ok, description), "text/event-stream");
        media.insert("schema".to_owned(), json!({ "type": "string" }));
    }

    /// Adds a header that every response with this status has.
    pub(in crate::http) fn response_header(&mut self, status: Status, name: &str, description: &str, schema: Value) {
        let header = json!({ "description": description, "schema": schema, "required": true });
        object(self.response(status, ""), "headers").insert(name.to_owned(), header);
    }

    /// Adds a header that some responses with this status have.
    pub(in crate::http) fn optional_response_header(
        &mut self,
        status: Status,
        name: &str,
        description: &str,
        schema: Value,
    ) {
        let header = json!({ "description": description, "schema": schema });
        object(self.response(status, ""), "headers").insert(name.to_owned(), header);
    }

    /// Adds a problem response with `example`. One status may have several reasons.
    pub(in crate::http) fn problem<P: ProblemExample>(&mut self, reason: &str, example: &P) {
        let schema = self.output.subschema_for::<P>().to_value();
        let name = example.title().to_lowercase().replace(' ', "-");
        let media = media_type(self.response(example.status(), reason), "application/problem+json");
        object(media, "examples").insert(name, json!({ "summary": reason, "value": example }));
        media.insert("schema".to_owned(), schema);
        if let Some(header) = example.header() {
            let schema = json!({ "type": header.json_type });
            self.response_header(example.status(), header.name, header.description, schema);
        }
    }

    /// The response with this status, with `sentence` added to its description.
    fn response(&mut self, status: Status, sentence: &str) -> &mut Map<String, Value> {
        let response = object(&mut self.responses, &status.code.to_string());
        let before = response.get("description").and_then(Value::as_str).unwrap_or_default();
        if !before.contains(sentence) || before.is_empty() {
            let description = format!("{before} {sentence}").trim().to_owned();
            response.insert("description".to_owned(), description.into());
        }
        response
    }
}

/// The media type `name` in the content of `response`.
fn media_type<'a>(response: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    object(object(response, "content"), name)
}

/// The object at `key`, created if there is none.
#[expect(clippy::expect_used, reason = "the line before makes it an object")]
fn object<'a>(parent: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = parent.entry(key).or_insert_with(|| json!({}));
    value.as_object_mut().expect("all values under such a key are objects")
}

/// `getBatch` for `get_batch`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at_checked(1).unwrap_or_default();
        name + &initial.to_uppercase() + rest
    })
}

/// The schema of an optional query parameter. It may be left out, but a query can't contain null.
fn never_null(schema: Value) -> Value {
    let Value::Object(mut schema) = schema else { return schema };
    if let Some(Value::Array(types)) = schema.get("type") {
        let only = types.iter().find(|name| *name != "null").cloned().unwrap_or_default();
        schema.insert("type".to_owned(), only);
    }
    if let Some(Value::Array(choices)) = schema.remove("anyOf") {
        let is_null = |choice: &Value| choice.get("type").is_some_and(|name| name == "null");
        let only = choices.into_iter().find(|choice| !is_null(choice));
        schema.extend(only.as_ref().and_then(Value::as_object).cloned().unwrap_or_default());
    }
    schema.into()
}

#[cfg(test)]
mod tests {
    use schemars::generate::SchemaSettings;

    use super::*;

    fn described(describe: impl FnOnce(&mut Operation<'_>)) -> Value {
        let generator = || SchemaSettings::draft2020_12().into_generator();
        let (mut input, mut output) = (generator(), generator());
        let mut operation = Operation::new(&mut input, &mut output);
        describe(&mut operation);
        operation.finish()
    }

    #[test]
    fn a_doc_comment_becomes_a_summary_and_a_description() {
        let table: [(&[&str], _, Value); 3] = [
            (&[" One."], "One.", json!(null)),
            (&[" One,", " still one."], "One, still one.", json!(null)),
            (&[" One.", "", " Two,", " three.", "", " Four."], "One.", json!("Two,\nthree.\n\nFour.")),
        ];

        for (lines, summary, description) in table {
            let operation = described(|operation| operation.prose("get_one_thing", lines));
            assert_eq!((&operation["summary"], &operation["operationId"]), (&json!(summary), &json!("getOneThing")));
            assert_eq!(operation.get("description").unwrap_or(&json!(null)), &description);
        }
    }

    #[test]
    fn an_optional_query_parameter_is_never_null() {
        #[derive(JsonSchema)]
        #[expect(dead_code, reason = "only described")]
        struct Form {
            /// Number of entries.
            #[schemars(range(min = 1))]
            limit: Option<u8>,
        }

        #[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone has one lifetime")]
        let operation = described(|operation| operation.query::<Form>());

        let parameter = &operation["parameters"][0];
        assert_eq!((&parameter["name"], &parameter["in"]), (&json!("limit"), &json!("query")));
        assert_eq!(
            (&parameter["description"], &parameter["schema"]["type"]),
            (&json!("Number of entries."), &json!("integer"))
        );
        assert_eq!(never_null(json!({ "anyOf": [{ "$ref": "#/a" }, { "type": "null" }] })), json!({ "$ref": "#/a" }));
    }

    #[test]
    fn a_header_is_an_optional_parameter() {
        let operation = described(|operation| operation.header::<String>("If-Match", "Which version."));

        let schema = json!({ "type": "string" });
        let expected = json!({ "name": "If-Match", "in": "header", "description": "Which version.", "schema": schema });
        assert_eq!(operation["parameters"], json!([expected]));
    }

    #[test]
    fn a_status_may_have_several_reasons() {
        #[derive(JsonSchema, Serialize)]
        struct Example(&'static str);

        impl ProblemExample for Example {
            fn status(&self) -> Status {
                Status::UnprocessableEntity
            }

            fn title(&self) -> &'static str {
                self.0
            }

            fn header(&self) -> Option<ProblemHeader> {
                None
            }
        }

        let operation = described(|operation| {
            operation.problem("The one.", &Example("Invalid request"));
            operation.problem("The other.", &Example("Unprocessable Entity"));
            operation.problem("The other.", &Example("Unprocessable Entity"));
        });

        let response = &operation["responses"]["422"];
        assert_eq!(response["description"], "The one. The other.");
        let examples = response["content"]["application/problem+json"]["examples"].as_object().unwrap();
        assert_eq!(examples.keys().collect::<Vec<_>>(), ["invalid-request", "unprocessable-entity"]);
    }
}
