import { Type, type Static } from 'typebox';
import { GroupName, HOST_PATTERN, Incarnation, InstanceId, LABEL_KEY_PATTERN, NAME_PATTERN, PATH_PATTERN, PROTOCOL_PATTERN, Timestamp, TypeName } from './names.js';

export const STATUSES = ['initializing', 'ready', 'shutting_down', 'error'] as const;
export const MAX_LABELS = 32;
export const MAX_PORTS = 32;

export const Status = Type.Enum([...STATUSES], {
  description: 'What the instance says of itself',
  examples: ['ready'],
});
export type Status = (typeof STATUSES)[number];

const Hostname = Type.String({
  format: 'host',
  pattern: HOST_PATTERN,
  minLength: 1,
  maxLength: 253,
  description: 'Host name (RFC 1123, and underscores) or address',
  examples: ['game-7.kr-1.example.com'],
});
const Address = (description: string, example: string) =>
  Type.String({ format: 'ip', maxLength: 45, description, examples: [example] });
const PortNumber = Type.Integer({ minimum: 1, maximum: 65_535, examples: [7777] });
const Protocol = Type.String({ pattern: PROTOCOL_PATTERN, description: '`tcp` unless said otherwise', examples: ['udp'] });
const PortName = Type.String({ pattern: NAME_PATTERN, examples: ['game'] });

const Port = Type.Object(
  { port: PortNumber, name: Type.Optional(PortName), protocol: Protocol },
  { description: 'A port the instance listens on' },
);
const PortInput = Type.Union(
  [
    PortNumber,
    Type.Object(
      { port: PortNumber, name: Type.Optional(PortName), protocol: Type.Optional(Protocol) },
      { additionalProperties: false },
    ),
  ],
  { description: 'A port as an object, or as a bare number' },
);

const LabelValue = Type.String({ format: 'text', maxLength: 256 });
export const Labels = Type.Record(Type.String({ pattern: LABEL_KEY_PATTERN }), LabelValue, {
  additionalProperties: false,
  maxProperties: MAX_LABELS,
  description: 'Words to choose by: version, region, zone, weight …',
  examples: [{ version: '1.4.2', zone: 'kr-1a' }],
});
const LabelsPatch = Type.Record(
  Type.String({ pattern: LABEL_KEY_PATTERN }),
  Type.Union([LabelValue, Type.Null()]),
  {
    additionalProperties: false,
    maxProperties: 2 * MAX_LABELS,
    description: 'Merged by key; null removes a key',
    examples: [{ version: '1.4.3', canary: null }],
  },
);

/** A JSON object of the caller's own making. Depth counts containers, the object itself being the first. */
const JsonObject = (maxBytes: number, description: string, example: object) =>
  Type.Unsafe<Record<string, unknown>>({
    type: 'object',
    additionalProperties: true,
    'x-max-depth': 8,
    'x-max-bytes': maxBytes,
    description: `${description}; at most ${maxBytes} bytes of JSON, 8 deep`,
    examples: [example],
  });
const SystemInfo = JsonObject(8192, 'What the machine is', { cpu: 'AMD EPYC 7543', memoryMb: 65_536, os: 'linux' });
const Performance = JsonObject(1024, 'How it is doing; rides every heartbeat', { tps: 59.9, latencyMs: 12, load: 0.4 });

const CustomState = Type.String({
  format: 'text',
  maxLength: 256,
  description: 'A line for people, such as the resource being loaded',
  examples: ['loading map 3 of 7'],
});
const Check = Type.Object(
  {
    protocol: Type.Enum(['tcp', 'http', 'grpc'], { examples: ['tcp'] }),
    port: PortNumber,
    path: Type.Optional(Type.String({ pattern: PATH_PATTERN, maxLength: 512, examples: ['/healthz'] })),
    intervalMs: Type.Optional(Type.Integer({ minimum: 1000, maximum: 3_600_000, examples: [10_000] })),
    timeoutMs: Type.Optional(Type.Integer({ minimum: 50, maximum: 60_000, examples: [1000] })),
  },
  { additionalProperties: false, description: 'How others may probe it' },
);
const TtlSeconds = Type.Integer({ minimum: 1, description: 'Length of the lease', examples: [600] });

const described = {
  hostname: Hostname,
  publicIp: Type.Optional(Address('Where the world reaches it', '203.0.113.7')),
  privateIp: Type.Optional(Address('Where its own network reaches it', '10.0.4.17')),
};
const told = {
  customState: Type.Optional(CustomState),
  systemInfo: Type.Optional(SystemInfo),
  performance: Type.Optional(Performance),
  check: Type.Optional(Check),
};

export const Registration = Type.Object(
  {
    instanceId: Type.Optional(InstanceId),
    incarnation: Type.Optional(Incarnation),
    type: TypeName,
    group: Type.Optional({ ...GroupName, description: 'Where it belongs, such as a region; `default` unless given' }),
    ...described,
    ports: Type.Optional(Type.Array(PortInput, { maxItems: MAX_PORTS, examples: [[{ name: 'game', port: 7777, protocol: 'udp' }]] })),
    status: Type.Optional({ ...Status, description: 'What the instance says of itself; `ready` unless given' }),
    labels: Type.Optional(Labels),
    ...told,
    ttlSeconds: Type.Optional(TtlSeconds),
  },
  { $id: 'Registration', additionalProperties: false, description: 'What a server says when it registers' },
);
export type Registration = Static<typeof Registration>;

/** How an instance left. */
const Departure = Type.Object(
  {
    kind: Type.Enum(['removed', 'expired'], { examples: ['expired'] }),
    cause: Type.String({ description: 'deregister or lease', examples: ['lease'] }),
    at: Timestamp('When it left'),
    by: Type.Optional(Type.String({ description: 'Name of the token that removed it', examples: ['fleet'] })),
    deadline: Type.Optional(Timestamp('The end of the lease that expired')),
  },
  { description: 'With include=offline, on those that have left: how' },
);

export const Instance = Type.Object(
  {
    instanceId: InstanceId,
    incarnation: Incarnation,
    type: TypeName,
    group: GroupName,
    ...described,
    ports: Type.Array(Port),
    status: Status,
    cordoned: Type.Boolean({ description: 'Set by an operator: pickers skip it', examples: [false] }),
    labels: Labels,
    ...told,
    health: Type.Optional(
      Type.Object(
        { passing: Type.Boolean({ examples: [true] }), at: Timestamp('When it was probed'), detail: Type.Optional(Type.String({ examples: ['connected in 3 ms'] })) },
        { description: 'Result of the last probe' },
      ),
    ),
    suspect: Type.Optional(Type.Boolean({ description: 'True while held in a mass lapse', examples: [true] })),
    ttlSeconds: TtlSeconds,
    registeredAt: Timestamp('When this incarnation registered'),
    updatedAt: Timestamp('When something last changed'),
    lastHeartbeat: Timestamp('When the lease was last renewed'),
    expiresAt: Timestamp('When the lease ends unless renewed'),
    departed: Type.Optional(Departure),
  },
  { $id: 'Instance', description: 'A registered instance' },
);
export type Instance = Static<typeof Instance>;
export type Port = Static<typeof Port>;

const changes = {
  status: Type.Optional(Status),
  customState: Type.Optional(Type.Union([CustomState, Type.Null()], { description: 'null clears it' })),
  labels: Type.Optional(LabelsPatch),
};

export const InstancePatch = Type.Object(
  { ...changes, cordoned: Type.Optional(Type.Boolean({ description: 'Needs the verb admin', examples: [true] })) },
  { $id: 'InstancePatch', additionalProperties: false, minProperties: 1, description: 'What to change; never renews the lease' },
);
export type InstancePatch = Static<typeof InstancePatch>;

/** What may ride a heartbeat: the fields an instance can change of itself. */
export const beatFields = {
  incarnation: Type.Optional(Incarnation),
  ...changes,
  performance: Type.Optional(Performance),
};
