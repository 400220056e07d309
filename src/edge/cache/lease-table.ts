import { Lease, WHOLE_SERVICE } from "./lease.ts";
import { UsageOrder } from "./usage-order.ts";

/** Every lease that is held or being fetched, by tenant and service, and the held ones in the order of use. */
export class LeaseTable {
  /** The leases on whole services. Read by the cache on each hit; changed here alone. */
  readonly tenants = new Map<string, Map<string, Lease>>();
  readonly order = new UsageOrder();

  find(tenant: string, service: string): Lease | undefined {
    return this.tenants.get(tenant)?.get(service);
  }

  /** The lease on a whole service; made where there is none, and then neither held nor being fetched. */
  onService(tenant: string, service: string): Lease {
    let services = this.tenants.get(tenant);
    if (services === undefined) {
      services = new Map();
      this.tenants.set(tenant, services);
    }
    let lease = services.get(service);
    if (lease === undefined) {
      lease = new Lease(tenant, service, WHOLE_SERVICE);
      services.set(service, lease);
    }
    return lease;
  }

  /** The lease on one version alone; likewise. */
  onVersion(tenant: string, service: string, version: number): Lease {
    const whole = this.onService(tenant, service);
    whole.singleVersionLeases ??= new Map();
    let single = whole.singleVersionLeases.get(version);
    if (single === undefined) {
      single = new Lease(tenant, service, version);
      whole.singleVersionLeases.set(version, single);
    }
    return single;
  }

  /** Lets go of a lease that is neither held nor being fetched, and has no single versions under it. */
  forgetIfEmpty(lease: Lease): void {
    if (lease.held || lease.fetch !== undefined || (lease.singleVersionLeases?.size ?? 0) > 0) return;
    const services = this.tenants.get(lease.tenant);
    const whole = services?.get(lease.service);
    if (services === undefined || whole === undefined) return;
    if (lease === whole) {
      services.delete(lease.service);
      if (services.size === 0) this.tenants.delete(lease.tenant);
    } else if (whole.singleVersionLeases?.get(lease.version) === lease) {
      whole.singleVersionLeases.delete(lease.version);
      this.forgetIfEmpty(whole);
    }
  }
}
