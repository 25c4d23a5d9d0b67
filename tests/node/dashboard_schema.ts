// The type of the Grafana dashboard, from the types that Grafana itself is built with.
//
// `dashboard_schema.js` assigns the dashboard to it as a literal, so a field that no type has is an
// error too.
import type { DataQuery, Dashboard, FieldConfig, Panel, RowPanel } from '@grafana/schema';
import type * as Stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as Table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as TimeSeries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

/** JSON has the values of enums, not their names. */
type Json<T> = T extends number
  ? `${T}` extends `${infer Value extends number}` ? Value : never
  : T extends string ? `${T}` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;

/** The data source that the dashboard's own variable chooses. */
interface ChosenPrometheus {
  type: 'prometheus';
  uid: '${datasource}';
}

/** A query of Prometheus, whose types Grafana does not publish. */
interface PrometheusQuery extends Omit<DataQuery, 'datasource'> {
  expr: string;
  legendFormat: string;
  range?: boolean;
  instant?: boolean;
  format?: 'time_series' | 'table' | 'heatmap';
  datasource: ChosenPrometheus;
}

/** A panel of one type, with the options and the field options of that type. */
type PanelOf<Type extends string, Options, Custom> = Omit<Panel, 'type' | 'datasource' | 'options' | 'fieldConfig' | 'targets'> & {
  type: Type;
  datasource: ChosenPrometheus;
  options: Partial<Options>;
  fieldConfig: { defaults: Omit<FieldConfig, 'custom'> & { custom?: Partial<Custom> }; overrides: [] };
  targets: PrometheusQuery[];
};

type AnyPanel =
  | RowPanel
  | PanelOf<'timeseries', TimeSeries.Options, TimeSeries.FieldConfig>
  | PanelOf<'stat', Stat.Options, Record<string, never>>
  | PanelOf<'table', Table.Options, Table.FieldConfig>;

export type CheckedDashboard = Json<Omit<Dashboard, 'panels'> & { panels: AnyPanel[] }>;
