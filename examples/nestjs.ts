// Rollcall in NestJS: a module that registers the application while it runs, and gives it catalogs to choose from.
//   ROLLCALL_URL=http://127.0.0.1:3000 ROLLCALL_TOKEN=$(cat .rollcall/token) npx tsx examples/nestjs.ts
import 'reflect-metadata';
import { Module, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { catalog, createClient, join, type Catalog, type JoinOptions } from 'rollcall';

@Module({})
export class RollcallModule {
  /** `find`: the types that the application asks for; each catalog is injected as `rollcall:<type>`, the session as `rollcall:session`. */
  static forRoot(registration: JoinOptions, find: string[] = []): DynamicModule {
    const client = createClient();
    const session = join(registration, client);
    const onApplicationShutdown = () => session.leave().then(() => client.close());
    const catalogs = find.map((type) => ({ provide: `rollcall:${type}`, useFactory: () => catalog({ type }, client) }));
    const providers = [{ provide: 'rollcall:session', useFactory: () => Object.assign(session, { onApplicationShutdown }) }, ...catalogs];
    return { module: RollcallModule, global: true, providers, exports: providers };
  }
}

class Shop {
  constructor(private readonly chats: Catalog) {}
  greet = async () => {
    await this.chats.ready;
    return `chat with ${this.chats.pick()?.instanceId ?? 'nobody'}`;
  };
}

@Module({
  imports: [RollcallModule.forRoot({ type: 'shop', ports: [8080] }, ['chat'])],
  providers: [{ provide: Shop, inject: ['rollcall:chat'], useFactory: (chats: Catalog) => new Shop(chats) }],
})
class App {}

const app = await NestFactory.createApplicationContext(App, { logger: false });
app.enableShutdownHooks(); // SIGTERM: the session leaves before the process ends
console.log(await app.get(Shop).greet());
