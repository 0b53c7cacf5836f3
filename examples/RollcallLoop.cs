// The loop of README, "What a client must do", in C#, for Unity's dedicated servers (.NET Standard 2.1) and .NET. In Unity: put this file into Assets, and
//   var loop = new RollcallLoop(url, token, type: "game", group: "kr-1", port: 7777); _ = loop.Run(); … await loop.Stop();
using System;
using System.Net.Http;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading;
using System.Threading.Tasks;

public sealed class RollcallLoop
{
    // Each call gives up after 5 s. What was sent may have happened, so it is sent again with the same ids.
    static readonly HttpClient Http = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
    readonly string url, token, registration, id, incarnation = Guid.NewGuid().ToString("N");
    readonly CancellationTokenSource stop = new CancellationTokenSource();
    readonly Random random = new Random();
    Task running = Task.CompletedTask;

    public event Action<string> Said = text => { };

    public RollcallLoop(string url, string token, string type, string group, int port, string id = null)
    {
        this.url = url.TrimEnd('/') + "/sd/v1";
        this.token = token;
        this.id = id ?? Guid.NewGuid().ToString("N");
        registration = $"{{\"instanceId\":\"{this.id}\",\"incarnation\":\"{incarnation}\",\"type\":\"{type}\",\"group\":\"{group}\",\"hostname\":\"{Environment.MachineName}\",\"ports\":[{port}]}}";
    }

    public Task Run() => running = Loop();

    /// <summary>Removes this server, so that nobody waits for its lease to end.</summary>
    public async Task Stop()
    {
        stop.Cancel();
        await running;
    }

    async Task Loop()
    {
        var registered = false;
        var wait = 0.0;
        while (true)
        {
            try { await Task.Delay(TimeSpan.FromMilliseconds(wait * (0.9 + random.NextDouble() / 10)), stop.Token); }
            catch (OperationCanceledException) { break; }
            var path = registered ? $"/instances/{id}/heartbeat" : "/instances";
            var (status, body) = await Call(HttpMethod.Post, path, registered ? $"{{\"incarnation\":\"{incarnation}\"}}" : registration);
            if (status == 200 || status == 201)
            {
                if (!registered) Said($"registered {id}");
                registered = true;
                var interval = Regex.Match(body, "\"(?:nextHeartbeatMs|heartbeatIntervalMs)\":(\\d+)");
                wait = interval.Success ? double.Parse(interval.Groups[1].Value) : 10000;
            }
            else if (status == 404 && registered) { registered = false; wait = 0; } // swept or removed
            else if (status == 409) { Said($"superseded: {body}"); return; } // another process has the id now
            else if (status == 0 || status == 429 || status >= 500) wait = 1000; // not now
            else { Said($"refused: {status} {body}"); wait = 30000; } // somebody can mend that while we run
        }
        if (!registered) return;
        await Call(HttpMethod.Delete, $"/instances/{id}?incarnation={incarnation}", null);
        Said("left");
    }

    /// <summary>Status and body; 0 when nobody answered.</summary>
    async Task<(int, string)> Call(HttpMethod method, string path, string json)
    {
        try
        {
            using (var request = new HttpRequestMessage(method, url + path))
            {
                request.Headers.Add("X-API-Token", token);
                if (json != null) request.Content = new StringContent(json, Encoding.UTF8, "application/json");
                using (var reply = await Http.SendAsync(request))
                {
                    var body = await reply.Content.ReadAsStringAsync();
                    return ((int)reply.StatusCode, body);
                }
            }
        }
        catch (Exception error) when (error is HttpRequestException || error is TaskCanceledException) { return (0, ""); }
    }
}
